"""The schema of `conf/prepare/`: what a published dataset consists of, and where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from unidet.config.fields import SCHEMA, NonNegative, Positive, Within

Address = Annotated[str, Within(pattern=r"^https?://[^\s/?#@]+(/\S*)?$")]
"""Of a file or a server, without user and password, which would be told to whoever reads along."""
Sha256 = Annotated[str, Within(pattern=r"^([0-9a-f]{64})?$")]
Place = Annotated[str, Within(pattern=r"^[^/\\][^\\]*$")]
"""A path below the folder that is prepared."""
Percent = Annotated[float, Within(gt=0, le=100)]


@dataclass(frozen=True)
class RemoteFile:
    """A file or an archive.

    Attributes:
        into: the folder where it belongs, or is unpacked.
        leaves: of an archive: what is unpacked, paths of files and of folders with their number of
            files; it is there if all these are. 0: a folder that others fill too.
        bytes, sha256: 0 and empty where the publisher does not say.
        optional: fetched only where `--only` names it.
    """

    address: Address
    into: Place
    leaves: dict[Place, NonNegative] = field(default_factory=dict)
    bytes: NonNegative = 0
    sha256: Sha256 = ""
    optional: bool = False


@dataclass(frozen=True)
class Part:
    """A seeded part of the images of an annotation file; 100 percent: all of them."""

    annotations: Place
    percent: Percent
    seed: NonNegative


@dataclass(frozen=True)
class Patches:
    """Numbered archives of images, `{}` in the address; of each the part's images are kept.

    Attributes:
        folders: below `into`, first and last number of the archives that are unpacked there.
        into: the folder of the images' names in the annotations.
    """

    address: Address
    into: Place
    folders: dict[Place, tuple[NonNegative, NonNegative]]


@dataclass(frozen=True)
class OpenImages:
    """Single images, `{}` in the address, and the tables that say which; `into` their folder."""

    address: Address
    into: Place
    annotations: Place
    images: Place
    boxes: Place
    classes: Place
    connections: Positive


@dataclass(frozen=True)
class Complement:
    """The images of one annotation file that another lacks."""

    images_of: Place
    without: Place


@dataclass(frozen=True)
class PreparedData:
    """One page of `conf/prepare/`.

    Attributes:
        files: by the name that `--only` takes.
        links: folder -> the folder it shows, both below the one that is prepared.
        complements: annotation file -> what it is made of.
        host: for the addresses of the page to begin with.
    """

    __pydantic_config__ = SCHEMA

    files: dict[str, RemoteFile]
    host: Address
    links: dict[Place, Place] = field(default_factory=dict)
    complements: dict[Place, Complement] = field(default_factory=dict)
    part: Part | None = None
    patches: Patches | None = None
    pictures: OpenImages | None = None
