"""What a synthetic video or picture says about itself in its metadata, whoever may read it."""

import struct

from faceswap_cli.errors import MediaError
from faceswap_cli.faces.metadata import jpeg_segments, png_chunks
from faceswap_cli.media.png_encoding import pack_png_chunk

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""What the digital source types of IPTC's NewsCodes begin with."""
DIGITAL_SOURCE_TYPE = "compositeWithTrainedAlgorithmicMedia"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00"  # iTXt: keyword, not compressed, no language
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_APP1, _APPS = 0xE1, range(0xE0, 0xF0)
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="faceswap-cli {version}"
    Iptc4xmpExt:DigitalSourceType="{source_type}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def synthetic_mark(tool_version: str) -> dict[str, str]:
    """Return the container metadata of a video in which a face was replaced.

    Source:
        IPTC NewsCodes, digital source type.
    """
    return {
        "comment": "Synthetic media: a face in this video was replaced by"
        f" faceswap-cli {tool_version}.",
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }


def with_synthetic_mark(data: bytes, tool_version: str) -> bytes:
    """Return the same picture, marked in its XMP as one in which a face was replaced.

    Pixels are not touched; XMP that is there is replaced. Sign it afterwards.

    Args:
        data: JPEG or PNG.
        tool_version: Of this program.

    Raises:
        MediaError: Neither of them, or cut short before its pixels.

    Source:
        XMP specification, part 3; IPTC Extension, property DigitalSourceType.
    """
    source_type = SOURCE_TYPES + DIGITAL_SOURCE_TYPE
    packet = _XMP.format(version=tool_version, source_type=source_type).encode("utf-8")
    if data.startswith(_PNG):
        chunks = png_chunks(data)
        old = [(start, end) for _, start, end in chunks if data.startswith(_PNG_XMP, start + 8)]
        at = chunks[0][2] if chunks else len(_PNG)
        new = pack_png_chunk(b"iTXt", _PNG_XMP + packet)
    elif data.startswith(b"\xff\xd8"):
        segments = jpeg_segments(data)
        old = [(start, end) for _, start, end in segments if data.startswith(_JPEG_XMP, start + 4)]
        at = min([start for marker, start, _ in segments if marker not in _APPS[:2]], default=2)
        payload = _JPEG_XMP + packet
        new = b"\xff" + bytes([_APP1]) + struct.pack(">H", len(payload) + 2) + payload
    else:
        raise MediaError("neither a JPEG nor a PNG")
    for start, end in reversed(old):
        data = data[:start] + data[end:]
        at -= end - start if start < at else 0
    return data[:at] + new + data[at:]
