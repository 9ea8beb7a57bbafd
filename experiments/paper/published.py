"""The paper's numbers, typed from its tables: mean ± standard error over seeds.

They stand beside ours where the data are the paper's, or made as the paper's are (odd one out). The
rows of DIAL in Tables 5 to 8 are those of DEAL, the method's first version, in that paper's tables,
rounded or verbatim: the published numbers may never have measured Algorithm 1.
"""
import re

# Table 5: SHP's legaladvice, askscience and explainlikeimfive, each Korean, Thai, Chinese. DEAL's
# are of its own Table 2.
CROSS_LINGUAL = """
Base LM           .58      .57      .60      .57      .58      .55      .55      .54      .51
Src-Pref          .60±.03  .63±.01  .61±.02  .57±.01  .62±.01  .59±.01  .65±.01  .63±.01  .68±.01
Src-Pref-SFT      .62±.01  .59±.04  .64±.00  .56±.02  .61±.02  .56±.01  .65±.00  .64±.00  .61±.00
Src-Pref-Tgt-NTP  .64±.01  .56±.04  .65±.02  .57±.01  .63±.01  .61±.01  .64±.01  .64±.01  .61±.01
DIAL              .68±.00  .66±.01  .68±.03  .63±.00  .68±.00  .62±.01  .68±.01  .65±.00  .67±.01
Tgt-Pref*         .69±.01  .66±.01  .67±.01  .62±.01  .67±.00  .62±.01  .67±.00  .65±.01  .68±.01
Src-Tgt-Pref*     .69±.01  .72±.01  .70±.00  .63±.01  .67±.01  .64±.01  .70±.01  .67±.01  .69±.01
DEAL              .679±.005  .656±.006  .678±.032
DEAL              .634±.003  .681±.002  .624±.008
DEAL              .678±.011  .653±.004  .667±.006
"""
# Table 6: SHP's legaladvice, askscience and explainlikeimfive; DEAL of its own Table 3.
CLEAN_TO_NOISY = """
Base LM           .55      .56      .55
Src-Pref          .71±.01  .63±.01  .67±.01
Src-Pref-SFT      .71±.02  .61±.02  .64±.01
Src-Pref-Tgt-NTP  .70±.03  .61±.01  .63±.01
DIAL              .76±.01  .65±.01  .70±.01
Tgt-Pref*         .77±.00  .67±.01  .74±.00
Src-Tgt-Pref*     .78±.01  .69±.02  .73±.00
DEAL              .755±.014  .649±.013  .704±.012
"""
# Table 7: CValues; splits A, B, C. DEAL's of its own Table 4.
FEW_SHOT = """
Few-shot LM       .599       .643       .646
Src-Pref          .820±.011  .862±.005  .852±.021
Src-Pref-SFT      .744±.028  .788±.011  .710±.034
Src-Pref-Tgt-NTP  .759±.020  .721±.013  .721±.037
DIAL              .852±.042  .965±.003  .943±.005
Tgt-Pref*         .999±.000  .999±.000  .999±.000
DEAL              .852±.042  .965±.003  .943±.005
"""
# Table 4: Pearson and Spearman; short arguments to full essays. It says "s", but Tgt-Pref*'s are
# the standard errors of DEAL's Table 5, of which both lines of DEAL are.
SIMPLE_TO_COMPLEX = """
Base LM             .408±.003  .394±.003
Src-Pref            .516±.011  .508±.014
Src-Pref-SFT        .567±.018  .562±.023
Src-Pref-Tgt-NTP    .567±.020  .558±.025
DIAL                .577±.011  .556±.011
Tgt-Pref*           .857±.003  .855±.003
Src-Tgt-Pref*       .860±.001  .857±.001
DEAL                .532±.005  .521±.007
"""
# Table 8: Src-Pref ("train on source") and DIAL; DEAL's Table 1 has the same numbers.
ODD_ONE_OUT = """
desserts-fruits        .363±.090  .686±.035
desserts-sauces        .400±.107  .743±.028
desserts-vegetables    .234±.057  .489±.037
desserts-snacks        .477±.045  .728±.013
fruits-desserts        .261±.060  .561±.047
fruits-sauces          .254±.101  .404±.019
fruits-vegetables      .649±.016  .714±.002
fruits-snacks          .091±.017  .455±.038
sauces-desserts        .398±.035  .610±.018
sauces-fruits          .251±.008  .442±.037
sauces-vegetables      .285±.056  .454±.037
sauces-snacks          .405±.071  .643±.005
vegetables-desserts    .174±.029  .389±.019
vegetables-fruits      .708±.012  .756±.010
vegetables-sauces      .202±.041  .538±.061
vegetables-snacks      .247±.092  .471±.040
snacks-desserts        .304±.018  .629±.033
snacks-fruits          .183±.012  .397±.027
snacks-sauces          .248±.029  .683±.068
snacks-vegetables      .229±.016  .396±.064
"""


def typed(text):
    """{name: [(mean, standard error or None), ...]} of lines of a name and cells, two blanks or
    more apart; the cells of lines with the same name are put together."""
    table = {}
    for line in text.strip().split("\n"):
        name, *cells = re.split(r" {2,}", line)
        table.setdefault(name, []).extend((*map(float, cell.split("±")), None)[:2]
                                          for cell in cells)
    return table


def published(args):
    """The numbers of a command's table: (mean, standard error or None) by (method, source, target,
    metric); nothing where our data are not the paper's."""
    if args.experiment == "odd_one_out":
        return odd_one_out(args)
    if not args.paper:
        return {}
    from paper.files import cells
    metrics = ("pearson", "spearman") if args.experiment == "simple_to_complex" else ("accuracy",)
    return {(name, *pair, metric): number
            for method, values in typed(TABLES[args.experiment]).items()
            for j, metric in enumerate(metrics)
            for pair, number in zip(cells(args), values[j::len(metrics)])
            for name in (method, f"{method.rstrip('*')}, best*")}


def odd_one_out(args):
    """`published` of Table 8, whose lines are pairs of foods."""
    from paper.files import cells
    table = typed(ODD_ONE_OUT)
    pairs = cells(args) if args.paper else [
        tuple(f"{food}:en" for food in name.split("-")) for name in table]
    return {(name, *pair, "accuracy"): number for pair, values in zip(pairs, table.values())
            for methods, number in zip((("Src-Pref",), ("DIAL", "DEAL")), values)
            for method in methods for name in (method, f"{method}, best*")}


TABLES = {"cross_lingual": CROSS_LINGUAL, "clean_to_noisy": CLEAN_TO_NOISY, "few_shot": FEW_SHOT,
          "simple_to_complex": SIMPLE_TO_COMPLEX}
