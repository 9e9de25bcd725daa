"""Schema of `conf/prepare/`: the files of published datasets, and their addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from unidet.config.fields import SCHEMA, NonNegative, Positive, Seed, Within

Address = Annotated[str, Within(pattern=r"^https?://[^\s/?#@]+(/\S*)?$")]
"""Of a file or a server. No user and password: messages show addresses."""
Sha256 = Annotated[str, Within(pattern=r"^([0-9a-f]{64})?$")]
Place = Annotated[str, Within(pattern=r"^[^/\\][^\\]*$")]
"""A path relative to the folder of the prepared dataset."""
Percent = Annotated[float, Within(gt=0, le=100)]


@dataclass(frozen=True)
class RemoteFile:
    """A file or an archive.

    Attributes:
        into: target folder of the file, or of the archive's content.
        leaves: for an archive: path of a file or folder to unpack -> its number of files. The
            content is complete if all of these exist. 0: a folder that other archives fill too.
        bytes, sha256: 0 and empty if the publisher does not state them.
        optional: fetched only if `--only` names it.
    """

    address: Address
    into: Place
    leaves: dict[Place, NonNegative] = field(default_factory=dict)
    bytes: NonNegative = 0
    sha256: Sha256 = ""
    optional: bool = False


@dataclass(frozen=True)
class Part:
    """A random part of the images of an annotation file, with a seed; 100 percent for all."""

    annotations: Place
    percent: Percent
    seed: Seed


@dataclass(frozen=True)
class Patches:
    """Numbered archives of images, with `{}` in the address; only images of the part are kept.

    Attributes:
        folders: folder below `into` -> first and last number of the archives unpacked there.
        into: the folder to which the images' names in the annotations are relative.
    """

    address: Address
    into: Place
    folders: dict[Place, tuple[NonNegative, NonNegative]]


@dataclass(frozen=True)
class OpenImages:
    """Single images, with `{}` in the address, and the tables that list them; `into` a folder."""

    address: Address
    into: Place
    annotations: Place
    images: Place
    boxes: Place
    classes: Place
    connections: Positive


@dataclass(frozen=True)
class Complement:
    """The images of one annotation file that are not in another."""

    images_of: Place
    without: Place


@dataclass(frozen=True)
class PreparedData:
    """One page of `conf/prepare/`.

    Attributes:
        files: by the name for `--only`.
        links: folder -> target folder, both below the prepared one.
        complements: annotation file -> how it is made.
        host: start of the page's addresses.
        images_host: the same of images on another server.
    """

    __pydantic_config__ = SCHEMA

    files: dict[str, RemoteFile]
    host: Address
    images_host: Address | None = None
    links: dict[Place, Place] = field(default_factory=dict)
    complements: dict[Place, Complement] = field(default_factory=dict)
    part: Part | None = None
    patches: Patches | None = None
    pictures: OpenImages | None = None
