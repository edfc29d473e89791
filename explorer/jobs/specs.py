"""What can be asked of a worker: to map a file, to train a reference, to extend one.

Plain values, as the queue keeps them; knows no queue.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MapSpec:
    """What to map onto what; two equal specs are the same work.

    Attributes
    ----------
    query
        Absolute path of an h5ad file.
    reference
        Absolute path of a reference bundle.
    method
        Name of a method of the reference.
    batch
        obs column of the query that names its batches; `None` for one batch.
    orthologs
        Whether mouse genes are read as their human one-to-one orthologues.
    mode
        One of the method's modes; `None` for its first.
    hierarchical, independent, unknown
        How label levels agree and what makes a cell unknown, as `map_query` takes them; `None` for its usual rule.
    refine
        Whether labels follow the majority of each cell's neighbours in the query.
    own_labels
        obs column of labels that the query already has, for a mode that learns labels; `None` for none.
    proteins
        obsm table of the query to place cells by as well, "none" for none; `None` only compares.
    refit_shared
        Whether the method is refitted on the genes that query and reference share, where those are few.
    matrix, gene_names
        Which matrix of the file holds the expression and which column names the genes, as `open_query` takes them;
        `None` to choose the right one.
    device
        "auto", "cpu" or "cuda".
    name
        What to call the query on screens and in files; `None` for the file's own name.
    """

    query: str
    reference: str
    method: str = "concord"
    batch: str | None = None
    orthologs: bool = False
    refit_shared: bool = False
    matrix: str | None = None
    gene_names: str | None = None
    device: str = "auto"
    name: str | None = None
    mode: str | None = None
    hierarchical: bool = False
    independent: bool = False
    unknown: str | None = None
    refine: bool = False
    own_labels: str | None = None
    proteins: str | None = None


@dataclass(frozen=True)
class BuildSpec:
    """What to train; two equal specs are the same work.

    Attributes
    ----------
    out
        Absolute path of the bundle to write, or to add to.
    methods
        Names of the methods to train, one after the other.
    reference
        Absolute path of a bundle whose cells, labels and methods are taken over; "" for a file of cells.
    source
        Absolute path of an h5ad file; "" for a reference's own cells.
    labels
        Label columns of the file, the main one first.
    batch, sample
        obs columns of the file; `None` for none.
    title
        What to call the reference; "" for the name it has.
    device
        "auto", "cpu" or "cuda".
    """

    out: str
    methods: tuple[str, ...]
    reference: str = ""
    source: str = ""
    labels: tuple[str, ...] = ()
    batch: str | None = None
    sample: str | None = None
    title: str = ""
    device: str = "auto"


@dataclass(frozen=True)
class ExtendSpec:
    """Which cells to add to a copy of a reference; two equal specs are the same work.

    Attributes
    ----------
    out
        Absolute path of the bundle to write.
    reference
        Absolute path of the bundle that is copied.
    result
        Absolute path of the mapped file that holds the cells.
    names
        Absolute path of their names, from `explorer.jobs.extending.write_names`.
    level
        Label level of the reference that the names belong to.
    matrix, gene_names, orthologs, device, name
        As in the `MapSpec` of the result.
    """

    out: str
    reference: str
    result: str
    names: str
    level: str
    matrix: str | None = None
    gene_names: str | None = None
    orthologs: bool = False
    device: str = "auto"
    name: str | None = None


Making = BuildSpec | ExtendSpec
"""Work that ends in a reference, at `out`."""

Spec = MapSpec | Making
