"""--dry-run: print what a command would do."""
from harness.tables import print_columns
from methods.table import METHODS


def describe(args, jobs):
    """Print what would be run; return no runs.

    Args: jobs: (method, seed, pairs of domains) of each run.
    """
    if args.paper:
        from paper import files, settings
    rows = "" if args.paper else f" with {args.batch_size} + {args.batch_size} rows a step"
    print(f"{args.model}: {len(jobs)} runs{rows}")
    if args.paper:
        print_columns(settings.table(args))
        often = f"every {args.eval_every} steps and " if args.eval_every else ""
        print(f"texts of at most {args.max_length} tokens; validated {often}at each epoch's end")
    for name, seed, pairs in jobs:
        length = f"{args.config.steps} steps"
        if args.paper:
            length = f"{settings.training_of(args, name, *pairs[0])[2]} epochs"
        print(f"  {name}, seed {seed}, {length if METHODS[name].step else 'no training'}: "
              f"{', '.join(f'{source.name} -> {target.name}' for source, target in pairs)}")
    if args.paper:
        print("files:", *files.files(args), sep="\n  ")
    return []
