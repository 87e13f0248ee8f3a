"""What a synthetic video says about itself in its container."""

# The tail of http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia
DIGITAL_SOURCE_TYPE = "compositeWithTrainedAlgorithmicMedia"


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
