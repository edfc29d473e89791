"""Names of AnnData columns, of the files in a reference and of the files in a result. No other file spells them."""

# obs of a result
PREDICTED = "predicted_{level}"
CONFIDENCE = "confidence_{level}"
NOVELTY = "novelty"
IS_UNKNOWN = "is_unknown"
DEEPEST_LABEL = "deepest_label"
DEEPEST_LEVEL = "deepest_level"
BETWEEN = " | "  # labels of a set
PREDICTION_SET = "prediction_set_{level}"  # in obsm too, as one column a label

# obsm and uns of a result
EMBEDDING = "X_{method}"
LAYOUT = "X_umap"
PROBABILITIES = "probabilities_{level}"
DOUBT = "doubt_{level}"        # columns disagreement, novelty, unknown, distance ratio
PROTEINS_IMPUTED = "proteins_imputed"
PROTEINS_SPREAD = "proteins_imputed_spread"
PROTEINS_MEASURED = "proteins_measured"
RESULT_PROTEINS = (PROTEINS_IMPUTED, PROTEINS_SPREAD, PROTEINS_MEASURED)
COLORS = "{column}_colors"     # as scanpy looks for them: one a category of a column of obs
OWN = "{name}_own"             # what the query had under a name that the result needs
PROVENANCE = "atlas_explorer"
CONSENSUS_RECORD = "atlas_explorer_consensus"  # in place of it, where several methods mapped
RECORDS = (PROVENANCE, CONSENSUS_RECORD)

# of a file that holds several methods' results and their consensus
CONSENSUS = "consensus_{name}"   # what a file of one method calls name; the label itself is called after its level
AGREEMENT = "agreement_{level}"
OF_METHOD = "{name}_{method}"

# columns of the predictions table
CSV_COLUMNS = (
    "cell_id", "label", "confidence", "novelty", "unknown", "distance_ratio", "prediction_set",
    DEEPEST_LABEL, DEEPEST_LEVEL,
)
CSV_VERDICT = "mapping"             # only where the mapping as a whole is doubtful or bad
CSV_REFITTED = "refitted_on_genes"  # only of a model that was refitted on a panel
THRESHOLD = "threshold"             # of confidence; only where it was raised above the reference's own rule

# genes.csv of a reference
SYMBOL = "symbol"
ENSEMBL = "ensembl"
MEAN = "mean_expression"

# obs of a reference: sum of all counts of a cell, which normalisation divides by
TOTALS = "total_counts"

# obsm of a reference: counts of surface proteins, a table
PROTEINS = "proteins"

# files of a reference bundle
CARD_FILE = "card.json"
GENES_FILE = "genes.csv"
CELLS_FILE = "cells.h5ad"
METHODS_FOLDER = "methods"
EXPRESSION_FOLDER = "expression"  # a regression on expression, one for all methods
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
EMBEDDING_FILE = "embedding.npy"
LAYOUT_FILE = "layout.npy"
HEADS_FILE = "heads.safetensors"
CALIBRATION_FILE = "calibration.json"
RNA_FOLDER = "rna"  # heads and calibration once more, of cells placed without their proteins

# files of a model refitted on a panel, besides those of a method
PANEL_FILE = "panel.json"

# files of a mapping job's result folder
RESULT_FILE = "result.h5ad"
PREDICTIONS_FILE = "predictions.csv"
EXPRESSION_FILE = "expression.h5"

UNKNOWN = "unknown"


def predicted(level: str) -> str:
    """Column of the predicted label at one label level."""
    return PREDICTED.format(level=level)


def confidence(level: str) -> str:
    """Column of the confidence at one label level."""
    return CONFIDENCE.format(level=level)


def prediction_set(level: str) -> str:
    """Column of the labels that may be the true one at one label level, and obsm key of the same as flags."""
    return PREDICTION_SET.format(level=level)


def of_method(name: str, method: str) -> str:
    """What a file that holds several methods' results calls something of one of them."""
    return OF_METHOD.format(name=name, method=method)


def agreement(level: str) -> str:
    """Column of the share of methods that give the consensus label at one label level."""
    return AGREEMENT.format(level=level)


def embedding(method: str) -> str:
    """obsm key of a method's embedding."""
    return EMBEDDING.format(method=method)


def probabilities(level: str) -> str:
    """obsm key of the all-class probabilities at one label level."""
    return PROBABILITIES.format(level=level)


def doubt(level: str) -> str:
    """obsm key of disagreement, novelty, unknown and distance ratio at one label level."""
    return DOUBT.format(level=level)


def colors(column: str) -> str:
    """uns key of the colours of a column's categories."""
    return COLORS.format(column=column)


def own(name: str) -> str:
    """Name under which the query's own column or embedding is kept when the result needs its name."""
    return OWN.format(name=name)
