"""The bundle on disk: what is written is what is read, and nothing else is taken for it."""

from __future__ import annotations

import json
import pickletools
import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import is_zipfile

import anndata as ad
import h5py
import numpy as np
import pytest
from planted import SYMBOLS, TYPES
from safetensors.numpy import load_file, save_file

from explorer import keys
from explorer.doubt.labels import LevelHead
from explorer.errors import ReferenceProblem
from explorer.flow import Reference
from explorer.mapping.corridor import load_method, map_query
from explorer.reading.query import open_query
from explorer.reference import (
    SCHEMA,
    has_expression,
    label_codes,
    open_reference,
    read_embedding,
    read_gene,
    read_heads,
    read_layout,
    write_card,
    write_heads,
)


@pytest.fixture
def copy(planted_reference: Reference, tmp_path: Path) -> Path:
    """A copy of the planted reference that a test may spoil."""
    return Path(shutil.copytree(planted_reference.folder, tmp_path / "copy.atlas"))


class TestRoundTrip:
    def test_it_holds_the_cells_it_was_built_from(self, planted_reference: Reference, planted_file: Path) -> None:
        cells = ad.read_h5ad(planted_file)
        assert planted_reference.n_cells == cells.n_obs
        assert planted_reference.obs.index.tolist() == cells.obs.index.tolist()
        assert planted_reference.genes[keys.SYMBOL].tolist() == SYMBOLS.tolist()
        assert planted_reference.levels == ("cell_type", "lineage")
        assert planted_reference.methods == ("concord",)
        for column in cells.obs:
            assert planted_reference.obs[column].astype(str).tolist() == cells.obs[column].astype(str).tolist()
        totals = np.asarray(cells.X.sum(1)).ravel()
        np.testing.assert_array_equal(planted_reference.obs[keys.TOTALS], totals)
        mean = np.asarray((cells.X.toarray() / totals[:, None] * 1e4).mean(0))
        np.testing.assert_allclose(planted_reference.genes[keys.MEAN], mean, rtol=1e-4)

    def test_one_gene_of_all_cells(self, planted_reference: Reference, planted_file: Path) -> None:
        cells = ad.read_h5ad(planted_file)
        logged = np.log1p(cells.X.toarray() / np.asarray(cells.X.sum(1)) * 1e4)
        for gene in (0, 7, 299):
            found = read_gene(planted_reference, SYMBOLS[gene])
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, logged[:, gene], rtol=1e-5)

    def test_cells_can_be_opened_by_anything_that_reads_h5ad(
        self, planted_reference: Reference, planted_file: Path
    ) -> None:
        cells, own = ad.read_h5ad(planted_reference.folder / "cells.h5ad"), ad.read_h5ad(planted_file)
        assert cells.X.format == "csc", "by gene"
        assert (cells.X.tocsr() != own.X.tocsr()).nnz == 0

    def test_places_of_its_cells(self, planted_reference: Reference) -> None:
        embedding, layout = read_embedding(planted_reference, "concord"), read_layout(planted_reference, "concord")
        assert embedding.shape == (480, 100)
        assert layout.shape == (480, 2)
        assert embedding.dtype == layout.dtype == np.float32
        again = map_query(open_query(planted_reference.folder / "cells.h5ad"), planted_reference)
        np.testing.assert_allclose(again.embedding, embedding, atol=1e-5)

    def test_labels_as_codes(self, planted_reference: Reference) -> None:
        classes = tuple(sorted(TYPES))
        codes = label_codes(planted_reference, "cell_type", classes)
        assert codes.dtype == np.int32
        assert [classes[code] for code in codes] == planted_reference.obs["cell_type"].astype(str).tolist()
        assert label_codes(planted_reference, "cell_type", classes[:1]).min() == -1, "a label that is not asked for"

    def test_heads_come_back_as_they_were(self, planted_reference: Reference, tmp_path: Path) -> None:
        heads = read_heads(planted_reference.folder / "methods" / "concord")
        write_heads(tmp_path, heads)
        again = read_heads(tmp_path)
        assert [head.level for head in again] == ["cell_type", "lineage"]
        for mine, other in zip(heads, again, strict=True):
            _same_heads(mine, other)

    def test_opening_twice_gives_the_same(self, planted_reference: Reference) -> None:
        again = open_reference(planted_reference.folder)
        assert again.checksum == planted_reference.checksum
        assert again.card == planted_reference.card

    def test_a_copy_is_the_same_reference(self, planted_reference: Reference, copy: Path) -> None:
        assert open_reference(copy).checksum == planted_reference.checksum

    def test_whoever_may_read_the_card_may_read_it_all(self, planted_reference: Reference) -> None:
        files = [path for path in planted_reference.folder.rglob("*") if path.is_file()]
        assert {path.stat().st_mode for path in files} == {(planted_reference.folder / "card.json").stat().st_mode}


def _same_heads(mine: LevelHead, other: LevelHead) -> None:
    assert (mine.level, mine.classes, mine.head, mine.temperature) == (
        other.level,
        other.classes,
        other.head,
        other.temperature,
    )
    np.testing.assert_array_equal(mine.linear.weight, other.linear.weight)
    np.testing.assert_array_equal(mine.linear.bias, other.linear.bias)
    np.testing.assert_array_equal(mine.expected.shares, other.expected.shares)
    np.testing.assert_array_equal(mine.expected.spread, other.expected.spread)
    for name in ("mean", "loadings", "variance"):
        np.testing.assert_array_equal(getattr(mine.basis, name), getattr(other.basis, name))
    np.testing.assert_array_equal(mine.shapes.means, other.shapes.means)
    np.testing.assert_array_equal(mine.shapes.inverse, other.shapes.inverse)
    np.testing.assert_array_equal(mine.held_out.scale, other.held_out.scale)
    for name in ("both", "alone"):
        pairs = zip(getattr(mine.held_out, name), getattr(other.held_out, name), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    for name in ("rows", "codes", "batches"):
        np.testing.assert_array_equal(getattr(mine.examined, name), getattr(other.examined, name))
    np.testing.assert_allclose(mine.examined.probabilities, other.examined.probabilities, atol=1e-3)


class TestWhatItHolds:
    def test_the_files_that_a_reader_of_the_folder_expects(self, planted_reference: Reference) -> None:
        folder = planted_reference.folder
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        of_method = {
            "config.json", "weights.safetensors", "embedding.npy", "layout.npy", "heads.safetensors", "calibration.json"
        }  # fmt: skip
        regression = {"expression/config.json", "expression/weights.safetensors"}
        assert names == {
            "card.json", "genes.csv", "cells.h5ad", *(f"methods/concord/{name}" for name in of_method), *regression
        }  # fmt: skip

    def test_the_card_says_how_good_it_is_and_how_it_came_about(self, planted_reference: Reference) -> None:
        card = json.loads((planted_reference.folder / "card.json").read_text())
        assert (card["batch"], card["sample"], card["cells"], card["genes"]) == ("batch", "donor", 480, 300)
        concord = card["methods"]["concord"]
        assert (concord["preset"], concord["seed"], concord["device"]) == ("balanced", 0, "cpu")
        assert {"python", "torch", "anndata", "numpy"} <= set(concord["versions"])
        for level in ("cell_type", "lineage"):
            scores = concord["scores"][level]
            assert 0.9 < scores["macro_f1"] <= 1
            assert scores["cells"] == 480
            assert scores["head"] in ("vote", "linear")

    def test_no_pickle_anywhere(self, planted_reference: Reference, sample_atlas: Reference) -> None:
        for folder in (planted_reference.folder, sample_atlas.folder):
            for path in folder.rglob("*"):
                if path.is_file():
                    assert not is_zipfile(path), f"{path.name}: torch and numpy keep pickles in zip files"
                    assert not _is_pickle(path.read_bytes()), path.name
                    if path.suffix == ".npy":
                        np.load(path, allow_pickle=False)


def _is_pickle(data: bytes) -> bool:
    try:
        return sum(1 for _ in pickletools.genops(data)) > 1
    except Exception:  # noqa: BLE001  (whatever is wrong with it, it is no pickle)
        return False


class TestTrouble:
    @pytest.mark.parametrize(
        "name", ["genes.csv", "cells.h5ad", "methods/concord/weights.safetensors", "methods/concord/calibration.json"]
    )
    def test_a_missing_file_is_named(self, copy: Path, name: str) -> None:
        (copy / name).unlink()
        with pytest.raises(ReferenceProblem, match=f"incomplete: {name} is missing. Copy the whole folder"):
            open_reference(copy)

    @pytest.mark.parametrize(
        "name", ["genes.csv", "cells.h5ad", "methods/concord/weights.safetensors", "methods/concord/embedding.npy"]
    )
    def test_one_altered_byte_is_noticed(self, copy: Path, name: str) -> None:
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(ReferenceProblem, match=f"damaged: {name} differs"):
            open_reference(copy)

    def test_heads_of_an_older_version_are_refused(self, copy: Path) -> None:
        folder = copy / "methods" / "concord"
        arrays = load_file(folder / "heads.safetensors")
        kept = {name: array for name, array in arrays.items() if "examined" not in name}
        save_file(kept, folder / "heads.safetensors")
        with pytest.raises(ReferenceProblem, match=r"older Atlas Explorer.*Build the reference again"):
            read_heads(folder)

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null", "{}", '{"schema": null}', '{"schema": "x"}', '{"schema": 1}'],
        ids=lambda text: text or "empty",
    )
    def test_a_damaged_card(self, copy: Path, text: str) -> None:
        (copy / "card.json").write_text(text)
        with pytest.raises(ReferenceProblem, match=r"damaged: card\.json cannot be read"):
            open_reference(copy)

    def test_a_card_that_is_no_text(self, copy: Path) -> None:
        (copy / "card.json").write_bytes(b"\x89HDF\r\n\xff\xfe")
        with pytest.raises(ReferenceProblem, match=r"damaged: card\.json cannot be read"):
            open_reference(copy)

    def test_a_reference_of_a_newer_program(self, copy: Path) -> None:
        card = json.loads((copy / "card.json").read_text())
        (copy / "card.json").write_text(json.dumps({"schema": SCHEMA + 1, "content": list(card)}))
        with pytest.raises(ReferenceProblem, match=f"newer Atlas Explorer .format {SCHEMA + 1}.*pip install"):
            open_reference(copy)

    @pytest.mark.parametrize(
        "made",
        [Path.exists, Path.mkdir, Path.touch],
        ids=["nothing", "an empty folder", "a file"],
    )
    def test_something_else(self, tmp_path: Path, made: Callable[[Path], object]) -> None:
        made(tmp_path / "x.atlas")
        with pytest.raises(ReferenceProblem, match=r"is no reference: .* holds card\.json"):
            open_reference(tmp_path / "x.atlas")

    def test_a_method_it_does_not_hold(self, planted_reference: Reference) -> None:
        with pytest.raises(ReferenceProblem, match="holds no model called 'scvi'; it holds: concord"):
            load_method(planted_reference, "scvi")

    def test_a_method_that_this_version_does_not_know(self, copy: Path) -> None:
        shutil.copytree(copy / "methods/concord", copy / "methods/novel")
        card = json.loads((copy / "card.json").read_text())
        write_card(copy, {**card, "methods": {**card["methods"], "novel": card["methods"]["concord"]}})
        reference = open_reference(copy)
        assert reference.methods == ("concord", "novel")
        with pytest.raises(ReferenceProblem, match="model of 'novel', which this Atlas Explorer does not know"):
            load_method(reference, "novel")

    def test_a_reference_that_changes_while_it_is_in_use(self, copy: Path) -> None:
        """A card rewritten over other files makes another reference of it; what was opened is not that."""
        opened = open_reference(copy)
        genes = (copy / "genes.csv").read_text()
        (copy / "genes.csv").write_text(genes + "NEW,,0.0\n")
        card = json.loads((copy / "card.json").read_text())
        write_card(copy, card)
        with pytest.raises(ReferenceProblem, match=r"changed while it was in use\. Open it again"):
            load_method(opened, "concord")

    def test_calibration_that_does_not_belong_to_the_model(self, copy: Path) -> None:
        (copy / "methods/concord/calibration.json").write_text('[{"level": "other"}]')
        with pytest.raises(ReferenceProblem, match=r"calibration .* cannot be read"):
            read_heads(copy / "methods/concord")

    def test_a_gene_it_does_not_hold(self, planted_reference: Reference) -> None:
        with pytest.raises(ReferenceProblem, match="holds no gene called 'MYSTERY'"):
            read_gene(planted_reference, "MYSTERY")


class TestSharedWithoutExpression:
    @pytest.fixture
    def shared(self, copy: Path) -> Reference:
        """What a lab would hand on that may share its model and labels, but not its counts."""
        with h5py.File(copy / "cells.h5ad", "r+") as file:
            del file["X"]
        write_card(copy, json.loads((copy / "card.json").read_text()))
        return open_reference(copy)

    def test_it_says_so(self, shared: Reference, planted_reference: Reference) -> None:
        assert has_expression(planted_reference)
        assert not has_expression(shared)
        with pytest.raises(ReferenceProblem, match="shared without expression"):
            read_gene(shared, SYMBOLS[0])

    def test_it_maps_as_before(
        self, shared: Reference, planted_reference: Reference, planted_query: ad.AnnData
    ) -> None:
        mine, other = (map_query(open_query(planted_query), each) for each in (shared, planted_reference))
        np.testing.assert_array_equal(mine.embedding, other.embedding)
        np.testing.assert_array_equal(mine.labels.first.novelty, other.labels.first.novelty)


def test_the_sample_atlas_is_whole_and_complete(sample_atlas: Reference) -> None:
    assert sample_atlas.levels == ("cell_type", "lineage", "cell_subtype")
    assert sample_atlas.n_cells == 5272
    assert sample_atlas.card["origin"]
    assert "CC BY 4.0" in sample_atlas.card["licence"]
    assert sample_atlas.card["description"]
    scores = sample_atlas.card["methods"]["concord"]["scores"]
    assert scores["cell_type"]["macro_f1"] > 0.93
    assert scores["lineage"]["macro_f1"] > 0.95
    assert read_gene(sample_atlas, "MS4A1").max() > 3
