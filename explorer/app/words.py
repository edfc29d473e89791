"""What each figure of the app means, in a sentence with its source; and the keys. The one place for such texts.

Screens show an explanation beside a name by `about`, the help sheet lists all of them. Knows words, not figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from explorer.app import look

_FLAG = re.compile(r" \(--[a-z-]+\)")


@dataclass(frozen=True)
class Word:
    """A quantity.

    Attributes
    ----------
    name
        What screens call it.
    text
        What it says, and what it does not.
    source
        The paper or the room where it comes from; empty where it is plain counting.
    """

    name: str
    text: str
    source: str = ""


LABELS: Mapping[str, Word] = MappingProxyType({
    "confidence": Word(
        "Confidence",
        "Calibrated probability of the label: of cells with 0.9, nine in ten were right on batches of the reference "
        "that the model had not seen. It holds among the reference's labels, and says nothing of cells that it lacks.",
        "Temperature scaling; Guo et al., ICML 2017",
    ),
    "novelty": Word(
        "Novelty",
        "How strange a cell is to its label: 0.99 means stranger than 99 % of the reference's own left-out cells of "
        "that label. It rests on expression: how far the cell lies from the label's, and how odd its counts are beside "
        "theirs.",
        "1 minus a conformal p-value; Bates et al., Annals of Statistics 2023; distance: Ren et al., arXiv:2106.09022",
    ),
    "distance ratio": Word(
        "Distance ratio",
        "How many times as strange a cell is to its label as 99 % of the reference's own left-out cells are to theirs. "
        "It goes on where novelty has reached its top, so that strange and very strange stay apart.",
        "Left-out cells of the reference",
    ),
    "disagreement": Word(
        "Disagreement",
        "How much the nearest reference cells differ in their labels: 0 if all carry the same, 1 if all labels are "
        "equally frequent. It says that a cell lies between labels, not that it is far from them.",
        "Entropy of the neighbours' votes, over its largest value",
    ),
    "prediction set": Word(
        "Prediction set",
        "Labels of which one is the true one for the share of cells that was asked for, as a rule 95 %. The more "
        "labels in a set, the less is known. The promise is for batches like the reference's and for types that it "
        "has.",
        "Sadinle, Lei and Wasserman, JASA 2019; over batches, Dunn, Wasserman and Ramdas, JASA 2023",
    ),
    "unknown": Word(
        "Unknown",
        "A cell that is stranger to its label than all but 5 % of the cells of an average left-out batch, or whose "
        "confidence is below the threshold. It keeps its likeliest label in tables and files, but is drawn grey.",
        "Left-out batches of the reference",
    ),
    "threshold": Word(
        "Threshold of confidence",
        "Cells below it are called unknown on every screen and in every file. A higher one keeps fewer cells, and "
        "more of those are right; how many is read off left-out cells of the reference.",
        "Risk-coverage curve; El-Yaniv and Wiener, JMLR 2010",
    ),
    "agreement": Word(
        "Agreement",
        "Share of the methods that give a cell the consensus label. Methods that err alike also agree.",
        "Counted over the methods that mapped",
    ),
    "consensus": Word(
        "Consensus",
        "The label with the highest mean of the methods' calibrated probabilities. The weights of the mean come from "
        "left-out cells of the reference, and the mean is calibrated once more.",
        "Linear opinion pool with weights fitted on left-out cells",
    ),
    "kappa": Word(
        "Kappa",
        "Agreement of two methods beyond what their label frequencies alone would give: 1 is full agreement, 0 is "
        "chance.",
        "Cohen, Educational and Psychological Measurement 1960",
    ),
    "verdict": Word(
        "Verdict",
        "Whether the mapping as a whole can be trusted: ok, look or poor; in files good, doubtful or bad. Told without "
        "any label of yours, by genes found, counts a cell, confidence, distance, batches, and how far expression "
        "follows the labels.",
        "Thresholds drawn from the sample queries named in the README",
    ),
})  # fmt: skip

SCORES: Mapping[str, Word] = MappingProxyType({
    "macro-F1": Word(
        "Macro-F1",
        "Mean over labels of how complete and how pure each is, so that rare labels count as much as frequent ones; 1 "
        "is perfect. Measured on reference batches that the model was not trained on.",
        "Harmonic mean of precision and recall, averaged over labels",
    ),
    "accuracy": Word(
        "Accuracy", "Share of left-out reference cells that got the label they carry; frequent labels dominate it.",
        "Left-out batches of the reference",
    ),
    "calibration error": Word(
        "Calibration error",
        "How far confidence is from the share of right labels, on average over bins of confidence; 0 is perfect.",
        "Expected calibration error; Naeini, Cooper and Hauskrecht, AAAI 2015",
    ),
    "novelty AUROC": Word(
        "Novelty AUROC",
        "How well cells of a type stand out when that type was left out of the reference: the chance that such a cell "
        "looks more novel than one of a type that it has; 0.5 is no better than tossing a coin, 1 is perfect.",
        "Single types left out of the reference in turn",
    ),
    "gene overlap": Word(
        "Genes found",
        "Share of the genes a model reads that your file has. Weighted by expression, missing a gene that hardly any "
        "reference cell expresses costs little. Missing genes count as not expressed.",
        "Your file beside the reference's genes",
    ),
    "label preservation": Word(
        "Label preservation",
        "Share of a cell's nearest cells that carry the same label of yours, where the model places them, beside the "
        "same share in their own expression, which is the most that can be kept, and by chance.",
        "Neighbourhood purity; Luecken et al., Nature Methods 2022",
    ),
    "batch mixing": Word(
        "Batch mixing",
        "Share of a cell's nearest cells that come from other batches, beside what it would be if batches did not "
        "matter.",
        "Neighbourhoods with batches dealt out anew as the expectation",
    ),
})  # fmt: skip

GENES: Mapping[str, Word] = MappingProxyType({
    "integrated gradients": Word(
        "Integrated gradients",
        "How much each gene moves the cells toward the label, from the reference's mean expression on. The scores add "
        "up to the whole way, and what they fail to account for is shown beside them.",
        "Sundararajan, Taly and Yan, ICML 2017",
    ),
    "attention": Word(
        "Attention and roll-out",
        "Weights inside the network, not effects: a high weight says where the model looks, not what decides the "
        "label.",
        "Abnar and Zuidema, ACL 2020, for roll-out",
    ),
    "expression": Word(
        "log1p CP10k", "Counts of a gene for each 10,000 counts of its cell, as the natural logarithm of that plus "
        "one.",
    ),
    "marker test": Word(
        "Marker tests",
        "The rank test asks whether a gene differs by more than chance, the effect size by how much. Cells of one "
        "sample are not independent, so p-values between cells rank genes and prove nothing.",
        "Wilcoxon rank-sum test; Welch's t-test",
    ),
    "pseudobulk": Word(
        "Between samples",
        "Counts are summed by sample and each sample is one observation, so that q-values hold for further samples.",
        "Law et al., Genome Biology 2014; Smyth, SAGMB 2004",
    ),
    "q-value": Word(
        "q-value", "Expected share of false findings among all genes or gene sets that are at least as significant.",
        "Benjamini and Hochberg, JRSS B 1995",
    ),
    "gene set": Word(
        "Mean of a gene set",
        "Mean log1p CP10k over the genes of the set that the cells have; the others are left out. Genes of high "
        "expression weigh most. A set of your own is named with its file and the start of its checksum.",
    ),
    "gene set score": Word(
        "Gene set score",
        "Mean of a set's genes less that of genes of the same mean expression; 0 says that the set is no more seen.",
        "Tirosh et al., Science 2016",
    ),
})  # fmt: skip

PICTURE: Mapping[str, Word] = MappingProxyType({
    "draw order": Word(
        "Draw order",
        "Which cell is seen where several lie on one place. Random shows each group as often as it is there; high or "
        "low on top shows the extremes and hides the rest beneath them.",
    ),
    "colour scale": Word(
        "Clipped colour scale",
        "Values beyond the two percentiles get the colours at the ends of the scale, so that a few extreme cells do "
        "not take all contrast. Percentiles are of values other than zero; cells without any expression may be grey.",
    ),
    "saved selections": Word(
        "My selections",
        "Each name that you saved is a category. A cell in more than one of them is counted once, as in several; the "
        "h5ad with saved selections has a column for each.",
    ),
})  # fmt: skip

TABLES: Mapping[str, Word] = MappingProxyType({
    "cell card": Word(
        "The card of a cell",
        "Beside labels stand calibrated probabilities, and ✓ marks those of the prediction set; beside neighbours and "
        "prototypes the cosine to them where the model places cells, 1 being the same direction. Genes stand out by "
        "their counts beside those of the label's reference cells at the depth of this cell.",
        "Pearson residuals; Lause, Berens and Kobak, Genome Biology 2021",
    ),
    "rand index": Word(
        "Adjusted Rand index",
        "How far two labellings put the same cells together, whatever they call them, less what chance would: 1 if "
        "always, 0 if no more than by chance.",
        "Hubert and Arabie, Journal of Classification 1985",
    ),
    "mutual information": Word(
        "Normalised mutual information",
        "How much one label tells of the other, over the mean of what each holds: 0 is nothing, 1 is all. Many small "
        "labels raise it.",
        "Vinh, Epps and Bailey, JMLR 2010",
    ),
    "share interval": Word(
        "Wilson interval",
        "Where the share in the whole sample lies with 95 % confidence, given how many of its cells were measured. It "
        "says nothing of other donors: for those, Conditions takes its intervals over samples.",
        "Wilson, JASA 1927",
    ),
    "prototype distance": Word(
        "Distance beside own",
        "Median distance of your cells from the prototype that claims them, over that of the reference's own cells: "
        "1 is as near, 2 is twice as far.",
        "Mean of the label's reference cells, where the model places them",
    ),
    "beyond": Word(
        "Beyond 95 %",
        "Share of your cells that lie farther from the prototype than 95 % of the reference's own cells do; 5 % would "
        "if they were alike.",
        "The reference's own distances",
    ),
    "adjusted R2": Word(
        "Adjusted R²",
        "Share of the variance of a component that a covariate accounts for, less what a covariate of chance with as "
        "many groups would.",
        "Least squares, corrected for degrees of freedom",
    ),
})  # fmt: skip

WORDS: Mapping[str, Word] = MappingProxyType({**LABELS, **SCORES, **GENES, **PICTURE, **TABLES})

KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("1", "…", "6"), "Go to a step, Home to Figures"),
    (("←", "→"), "Move along the steps, a threshold, or the tour"),
    (("g",), "Explore: search for a gene"),
    (("s", "a", "x"), "Explore: the next gesture replaces, adds to, or subtracts from the selection"),
    (("t",), "Explore: split into panes, or back"),
    (("l",), "Explore: names of labels on the map"),
    (("Ctrl", "Z"), "Take the last choice back"),
    (("Ctrl", "Y"), "Make it again"),
    (("?",), "This sheet"),
    (("Esc",), "Close what is open; on Explore, then clear the selection"),
    (("Tab",), "Go to the next control"),
    (("Enter",), "Press it"),
)


def sections() -> list[dict[str, Any]]:
    """Keys and quantities as `components.help_sheet.HelpSheet` shows them."""
    keys = [{"name": does, "keys": list(pressed)} for pressed, does in KEYS]
    parts = (("Labels, and how sure they are", LABELS), ("How good a model or a mapping is", SCORES),
             ("Genes and gene sets", GENES), ("How cells are drawn", PICTURE),
             ("Tables and cards of Explore", TABLES))  # fmt: skip
    told = [{"title": title, "rows": [vars(word) for word in of.values()]} for title, of in parts]
    return [{"title": "Keys", "rows": keys}, *told]


def without_flags(text: str) -> str:
    """A sentence of the engine without the options of the shell that it names in brackets: the page has its own."""
    return _FLAG.sub("", text)


def told(name: str) -> str:
    """The explanation of a quantity as plain text, one of `WORDS`."""
    return WORDS[name].text


def about(name: str) -> str:
    """A small (i) as HTML that opens the explanation of a quantity; reached by Tab, opened by Enter, closed by Esc.

    Parameters
    ----------
    name
        One of `WORDS`.
    """
    word = WORDS[name]
    place = f"about-{name.replace(' ', '-')}"
    source = f'<span class="source">{look.text(word.source)}</span>' if word.source else ""
    return (
        f'<button type="button" class="about" popovertarget="{place}" title="{look.text(word.text)}" '
        f'aria-label="What is {look.text(word.name.lower())}?">i</button>'
        f'<span class="told" id="{place}" popover role="note"><b>{look.text(word.name)}</b>{look.text(word.text)}'
        f"{source}</span>"
    )
