"""With --paper, looks at the target's validation and test sets on the way. The row "DIAL, best*" is
the test's value where the validation's was best: an oracle's choice of a checkpoint."""


def looker(args, pairs, epochs):
    """For `runs.run`: measure every target at each epoch's end, and every `args.eval_every` steps.
    """
    def start(model, config, measure):
        def look(step):
            steps = config.steps
            due = step * epochs // steps > (step - 1) * epochs // steps  # an epoch ends
            due |= bool(args.eval_every) and step % args.eval_every == 0
            return {f"{part} {metric} of {target.name}": value
                    for _, target in pairs if due and target.validation
                    for part, domain in (("validation", target.validation), ("test", target))
                    for metric, value in measure(domain).items()}

        return look

    return start


def best_results(name, pairs, log):
    """A result for each pair of domains: the test's metrics at the look at which the first metric
    of validation was highest; of equals, the later."""
    results = []
    for source, target in pairs:
        end = f" of {target.name}"
        looks = [{key.removesuffix(end): value for key, value in losses.items()
                  if key.endswith(end)} for losses in reversed(log)]
        best = max(filter(None, looks), key=lambda look: next(iter(look.values())), default={})
        metrics = {key.removeprefix("test "): value for key, value in best.items()
                   if key.startswith("test ")}
        if metrics:
            results.append({"method": f"{name.rstrip('*')}, best*", "source": source.name,
                            "target": target.name, "n_test": len(target.test),
                            "n_source": len(source.test), "metrics": metrics})
    return results
