"""What a file is by its first bytes, where it is not an image that Pillow reads."""

from __future__ import annotations

from unidet.errors import kind_among, other_kind, text_or_zeros

# Whole files of kinds that not every Pillow reads: where a signature stands, and what it says.
_KINDS = (
    (128, b"DICM", "a DICOM image"),
    (4, b"ftypavi", "an AVIF image"),
    (4, b"ftyphe", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC or AVIF image"),
    (4, b"ftypmsf1", "a HEIC or AVIF image"),
    (4, b"ftypcrx", "a camera's raw image (CR3)"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (4, b"JXL ", "a JPEG XL image"),
    (8, b"WEBP", "a WebP image"),
    (8, b"CR\x02", "a camera's raw image (CR2)"),
    (0, b"II*\0", "a TIFF or raw image of a kind"),
    (0, b"MM\0*", "a TIFF or raw image of a kind"),
    (0, b"II+\0", "a BigTIFF image of a kind"),
    (0, b"MM\0+", "a BigTIFF image of a kind"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw image (RAF)"),
    (0, b"IIU\0", "a camera's raw image (RW2)"),
    (0, b"IIRO", "a camera's raw image (ORF)"),
    (0, b"IIRS", "a camera's raw image (ORF)"),
    (0, b"MMOR", "a camera's raw image (ORF)"),
    (0, b"FOVb", "a camera's raw image (X3F)"),
    (0, b"8BPS", "a Photoshop image of a kind"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance image (HDR)"),
    (0, b"#?RGBE", "a Radiance image (HDR)"),
    (0, b"BPG\xfb", "a BPG image"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (40, b" EMF", "a Windows metafile"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML or SVG document"),
)
_FILMS = (
    (4, b"ftyp"),  # MP4, QuickTime, 3GP; images of this container are told before
    (4, b"moov"),
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF, WMV
    (0, b"\0\0\x01\xba"),  # MPEG programme stream
    (0, b"OggS"),
)
_PACKET = 188  # bytes between the marks of an MPEG transport stream
_STREAM_MARK = 0x47


def is_film(head: bytes) -> bool:
    """Whether a file with these first bytes is a video, whatever its suffix."""
    if kind_among(_KINDS, head):
        return False
    if len(head) > _PACKET and head[0] == head[_PACKET] == _STREAM_MARK:
        return True
    return any(head.startswith(signature, start) for start, signature in _FILMS)


def no_image(head: bytes, advice: str) -> str:
    """What such a file is instead of a readable image, and what to do: `advice` where nothing
    better is known.
    """
    if reason := other_kind(head):
        return reason
    if kind := kind_among(_KINDS, head):
        return f"is {kind} that this Pillow does not read; convert it to 8-bit JPEG or PNG"
    if is_film(head):
        return "is a film, not an image; `unidet detect` reads films, under a suffix such as .mp4"
    if head.startswith(b"\0\x05\x16\x07"):
        return "holds what macOS notes about a file, not the file; copy the one without ._"
    if head.startswith(b"bplist"):
        return "is a stand-in for a file that iCloud has not fetched; open it there once"
    return f"{text_or_zeros(head) or 'the file is damaged or not an image'}; {advice}"
