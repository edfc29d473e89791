"""Where references and results live, which device is used, and the limits. Frozen; read once.

Every field can be set by an environment variable ATLAS_EXPLORER_<FIELD>, for a lab's own server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PREFIX = "ATLAS_EXPLORER_"


def _bundled(name: str) -> Path:
    """A data folder that lies inside the installed package, or beside it in a checkout."""
    inside = _HERE / name
    return inside if inside.is_dir() else _HERE.parent / name


@dataclass(frozen=True)
class Settings:
    """What one server or one shell run is allowed and told to do.

    Attributes
    ----------
    home
        Folder of uploads, results and the job queue; made when first needed.
    references
        Reference bundles on offer, in menu order; the bundled sample atlas when none is named.
    server_paths
        Folders whose files a person at the browser may open by path; none by default.
    device
        "auto", "cpu" or "cuda".
    threads
        CPU threads a worker may use.
    max_upload
        Largest file accepted through the browser, in bytes.
    min_gene_share
        Share of a method's genes that a query must bring, below which mapping is refused.
    warn_gene_share
        Share below which mapping goes on with a notice.
    min_panel_genes
        Genes that a query must share with a reference for a method to be refitted on them.
    """

    home: Path
    references: tuple[Path, ...]
    server_paths: tuple[Path, ...]
    device: str = "auto"
    threads: int = os.cpu_count() or 1
    max_upload: int = 200 * 2**30
    min_gene_share: float = 0.30
    warn_gene_share: float = 0.80
    min_panel_genes: int = 200

    @property
    def jobs_file(self) -> Path:
        """The SQLite file of the queue and the projects."""
        return self.home / "jobs.sqlite"

    @property
    def uploads(self) -> Path:
        """Folder of uploaded query files."""
        return self.home / "uploads"

    @property
    def named(self) -> Path:
        """Names that were given to cells, until these have joined a reference."""
        return self.home / "named"

    @property
    def own_references(self) -> Path:
        """Folder of references trained on this server, and of those that were given further methods here."""
        return self.home / "references"

    @property
    def own_gene_sets(self) -> Path:
        """Folder of the gene set files that people brought, each under its checksum."""
        return self.home / "genesets"

    @property
    def panels(self) -> Path:
        """Folder of models refitted on the genes of a panel; may be deleted at any time."""
        return self.home / "panels"

    @property
    def results(self) -> Path:
        """Folder that holds one result folder a job."""
        return self.home / "results"


ASSETS = _bundled("assets")
SAMPLE_DATA = _bundled("sample_data")
SAMPLE_ATLAS = SAMPLE_DATA / "pbmc.atlas"


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part).expanduser().resolve() for part in text.split(os.pathsep) if part)


@cache
def settings() -> Settings:
    """The settings of this process."""
    found = {key.removeprefix(_PREFIX).lower(): value for key, value in os.environ.items() if key.startswith(_PREFIX)}
    default_home = Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "atlas-explorer"
    return Settings(
        home=Path(found.get("home", default_home)).expanduser().resolve(),
        references=_paths(found.get("references", "")) or (SAMPLE_ATLAS,),
        server_paths=_paths(found.get("server_paths", "")),
        device=found.get("device", "auto"),
        threads=int(found.get("threads", os.cpu_count() or 1)),
        max_upload=int(found.get("max_upload", 200 * 2**30)),
        min_gene_share=float(found.get("min_gene_share", 0.30)),
        warn_gene_share=float(found.get("warn_gene_share", 0.80)),
        min_panel_genes=int(found.get("min_panel_genes", 200)),
    )
