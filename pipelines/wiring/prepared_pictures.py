"""Images of the part that `unidet data prepare` chose: out of archives, or one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from unidet.config.prepare import OpenImages, Part, Patches, PreparedData
from unidet.console.terminal import Progress, say
from unidet.counts import counted
from unidet.data.images import read_size
from unidet.data.openimages_challenge import boxed_images, challenge_part, file_name
from unidet.data.parts import image_names, seeded_rows
from unidet.download.archives import unpack
from unidet.download.fetch import Expected, Missing, fetch, name_of
from unidet.errors import UserError
from unidet.pipelines.wiring.fetched import add_file
from unidet.pipelines.wiring.prepared_parts import (
    add_frequencies,
    counting,
    part_file,
    write_kept,
)
from unidet.store.disk import whole_file

# --- out of archives -----------------------------------------------------------------------------


def add_patches(data: PreparedData, root: Path, downloads: Path) -> Iterator[str]:
    """Of each archive the images of the part that are not there; a line for those it lacks."""
    if data.patches is None or data.part is None:
        return
    folder = root / data.patches.into
    with counting("images") as progress:
        names = image_names(part_file(data.part, root), progress)
    for address, own in _by_patch(data.patches, names).items():
        archive = downloads / name_of(address)
        known = archive.with_name(f"{archive.name}.lacks")
        lacks = set(known.read_text("utf-8", "replace").splitlines()) if known.is_file() else set()
        wanted = {name for name in own if name not in lacks and not (folder / name).exists()}
        if wanted:
            _add_patch(address, archive, folder, wanted)
            lacks |= {name for name in wanted if not (folder / name).exists()}
            with whole_file(known) as temporary:
                temporary.write_text("".join(f"{name}\n" for name in sorted(lacks)), "utf-8")
        if lacks:
            lacking = counted(len(lacks), "image")
            yield f"{archive.name}: lacks {lacking} of the part, listed in {known}"


def _by_patch(patches: Patches, names: Sequence[str]) -> dict[str, list[str]]:
    """Address of an archive -> the images it should hold.

    Raises:
        UserError: an image that belongs to none.
    """
    addresses = {
        f"{folder}/patch{number}": patches.address.replace("{}", str(number))
        for folder, (first, last) in patches.folders.items()
        for number in range(first, last + 1)
    }
    found: dict[str, list[str]] = {}
    for name in names:
        address = addresses.get(name.rpartition("/")[0])
        if address is None:
            raise UserError(f"image {name!r:.80} of the part: in no archive of patches.folders")
        found.setdefault(address, []).append(name)
    return found


def _add_patch(address: str, archive: Path, folder: Path, wanted: set[str]) -> None:
    above = next(iter(wanted)).rsplit("/", 2)[0]
    if not archive.exists():
        add_file(address, archive, Expected())
    say(f"unpacking {archive.name}")
    with counting(archive.name) as progress:
        count = unpack(archive, folder / above, lambda name: f"{above}/{name}" in wanted, progress)
    if not count:  # as if its paths began otherwise: it may be had by hand
        raise UserError(
            f"{archive}: has none of {len(wanted)} images of the part, such as {min(wanted)}; "
            f"unpack it yourself, so that they are below {folder}, and run the same command again"
        )
    archive.unlink()


# --- one by one ----------------------------------------------------------------------------------


def add_single_pictures(data: PreparedData, root: Path) -> list[str]:
    """The images of a part of OpenImages, its annotations and frequencies, where they are not
    there; a line for images that the server lacks."""
    if data.pictures is None or data.part is None:
        return []
    part, notes = part_file(data.part, root), []
    if not part.exists():
        notes = _add_challenge(data.pictures, data.part, root, part)
    add_frequencies(part)
    return notes


def _add_challenge(pictures: OpenImages, part: Part, root: Path, target: Path) -> list[str]:
    boxes = root / pictures.boxes
    with counting(target.name) as progress:
        codes = boxed_images(root / pictures.images, boxes, progress)
    rows = seeded_rows(len(codes), part.percent, part.seed).tolist()
    numbers = {codes[row]: row + 1 for row in rows}
    missing = _fetch_all(pictures, root / pictures.into, [*numbers])
    numbers = {code: number for code, number in numbers.items() if code not in missing}
    sizes = {code: read_size(root / pictures.into / file_name(code)) for code in numbers}
    with counting(target.name) as progress:
        kept = challenge_part(boxes, root / pictures.classes, numbers, sizes, progress)
    write_kept(kept, target)
    if not missing:
        return []
    lacking = counted(len(missing), "image of the part is", "images of the part are")
    return [f"{lacking} not at the server, first {min(missing)}"]


def _fetch_all(pictures: OpenImages, folder: Path, codes: Sequence[str]) -> set[str]:
    """Fetch the images that are not there, several at once; the codes the server lacks."""
    wanted = [code for code in codes if not (folder / file_name(code)).exists()]
    missing: set[str] = set()
    progress = Progress("images", stoppable=False)
    pool = ThreadPoolExecutor(pictures.connections)
    try:
        jobs = {pool.submit(_fetch_one, pictures.address, folder, code): code for code in wanted}
        for count, job in enumerate(as_completed(jobs), start=1):
            try:
                job.result()
            except Missing:
                missing.add(jobs[job])
            progress.update(count, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
        progress.close()
    return missing


def _fetch_one(address: str, folder: Path, code: str) -> None:
    fetch(address.replace("{}", code), folder / file_name(code), Expected())
