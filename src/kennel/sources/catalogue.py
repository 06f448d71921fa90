"""The public sets that have a name: address, size, checksum, licence and layout. Stdlib only.

Sizes and checksums are those that others published, never ours: docs/decisions/0006 names them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

NAME_LETTERS = 48  # of an archive's own name: files are called after it; a letter is up to 4 bytes

# How an archive's paths say the label:
#   folders     whatever it holds, below the folder that all its photos share
#   file names  Beagle_12.jpg
#   wordnet     train/n02088364/1.jpg, a folder a WordNet id, named in `labels`
#   prefixed    n02088364-beagle/1.jpg
Layout = Literal["folders", "file names", "wordnet", "prefixed"]


@dataclass(frozen=True)
class Source:
    """An archive of photos.

    Attributes:
        name: what a user types; for an archive of his own the name of its folder.
        what: in a few words, for the list.
        url: of the archive; http, https.
        licence: its name, or what it allows.
        terms: where it is written, and what goes with it.
        bytes: size of the archive; None where it is not known.
        sha256: hexadecimal; None where nobody published it.
        md5: where only that was published.
        labels: folder in the archive -> label, for the layout `wordnet`.
        credentials: whose account is needed to download it, if any.
    """

    name: str
    what: str
    url: str
    licence: str
    terms: str
    homepage: str
    citation: str
    layout: Layout = "folders"
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    credentials: Literal["kaggle"] | None = None


def source_of_url(url: str, *, sha256: str | None = None) -> Source:
    """An archive that has no name here; its folders are taken for labels."""
    try:
        file_name = unquote(urlsplit(url).path).rpartition("/")[2]
    except ValueError:
        file_name = ""  # no address: it is refused when it is asked
    stem = re.sub(r"(\.tar)?\.\w+$", "", file_name)
    return Source(
        name=re.sub(r"[^\w.-]+", "-", stem)[:NAME_LETTERS].strip(".-") or "archive",
        what="an archive of your own",
        url=url,
        licence="not known",
        terms="see where the archive comes from",
        homepage="",
        citation="",
        sha256=sha256.lower() if sha256 else None,
    )


def cache_name(source: Source) -> str:
    """Name of the downloaded archive: of the address, so that no two sets share one."""
    return f"{source.name}-{hashlib.sha256(source.url.encode()).hexdigest()[:8]}"


_FASTAI = "https://s3.amazonaws.com/fast-ai-imageclas/"
_IMAGENET = "ImageNet's terms: non-commercial research and education only"
_IMAGENET_TERMS = "https://image-net.org/download; the copyright is with the photographers"
_IMAGEWOOF = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian_ridgeback",
    "n02088364": "beagle",
    "n02089973": "English_foxhound",
    "n02093754": "Border_terrier",
    "n02096294": "Australian_terrier",
    "n02099601": "golden_retriever",
    "n02105641": "Old_English_sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}
_IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English_springer",
    "n02979186": "cassette_player",
    "n03000684": "chain_saw",
    "n03028079": "church",
    "n03394916": "French_horn",
    "n03417042": "garbage_truck",
    "n03425413": "gas_pump",
    "n03445777": "golf_ball",
    "n03888257": "parachute",
}


def _imagewoof(name: str, what: str, file: str, size: int, md5: str) -> Source:
    return Source(
        name=name,
        what=f"10 dog breeds, split, {what}",
        url=_FASTAI + file,
        licence=_IMAGENET,
        terms=_IMAGENET_TERMS,
        homepage="https://github.com/fastai/imagenette#imagewoof",
        citation="J. Howard, Imagewoof: a subset of 10 classes from Imagenet that aren't so easy "
        "to classify, 2019",
        layout="wordnet",
        bytes=size,
        md5=md5,
        labels=_IMAGEWOOF,
    )


def _imagenette(name: str, what: str, file: str, size: int, sha256: str) -> Source:
    return Source(
        name=name,
        what=f"10 easily told things, split, {what}",
        url=_FASTAI + file,
        licence=_IMAGENET,
        terms=_IMAGENET_TERMS,
        homepage="https://github.com/fastai/imagenette",
        citation="J. Howard, Imagenette: a subset of 10 easily classified classes from Imagenet, "
        "2019",
        layout="wordnet",
        bytes=size,
        sha256=sha256,
        labels=_IMAGENETTE,
    )


_ALL = (
    Source(
        name="oxford-pets",
        what="37 breeds of cats and dogs",
        url="https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",
        licence="CC BY-SA 4.0",
        terms="https://creativecommons.org/licenses/by-sa/4.0/; the copyright is with the "
        "photographers",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        citation="O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar, Cats and Dogs, CVPR 2012",
        layout="file names",
        bytes=791_918_971,
        sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
    ),
    _imagewoof(
        "imagewoof",
        "short side 320 px",
        "imagewoof2-320.tgz",
        328_387_740,
        "0f46d997ec2264e97609196c95897a44",
    ),
    _imagewoof(
        "imagewoof-160",
        "short side 160 px",
        "imagewoof2-160.tgz",
        92_612_825,
        "3d200a7be99704a0d7509be2a9fbfe15",
    ),
    _imagewoof(
        "imagewoof-full",
        "full size",
        "imagewoof2.tgz",
        1_343_715_595,
        "9aafe18bcdb1632c4249a76c458465ba",
    ),
    _imagenette(
        "imagenette",
        "short side 320 px",
        "imagenette2-320.tgz",
        341_663_724,
        "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    ),
    _imagenette(
        "imagenette-160",
        "short side 160 px",
        "imagenette2-160.tgz",
        99_003_388,
        "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    ),
    _imagenette(
        "imagenette-full",
        "full size",
        "imagenette2.tgz",
        1_557_161_267,
        "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
    ),
    Source(
        name="stanford-dogs",
        what="120 dog breeds",
        # Not https: so it was published, and its sha256 says whether the right bytes came.
        url="http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
        licence=_IMAGENET,
        terms=_IMAGENET_TERMS,
        homepage="http://vision.stanford.edu/aditya86/ImageNetDogs/",
        citation="A. Khosla, N. Jayadevaprakash, B. Yao, L. Fei-Fei, Novel Dataset for "
        "Fine-Grained Image Categorization, FGVC workshop, CVPR 2011",
        layout="prefixed",
        bytes=793_579_520,
        sha256="a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
    ),
    Source(
        name="kaggle-dogs",
        what="10 dog breeds, mostly copies; wants a Kaggle account",
        url="https://www.kaggle.com/api/v1/datasets/download/"
        "khushikhushikhushi/dog-breed-image-dataset",
        licence="not known",
        terms="see its page; some photos carry an agency's watermark",
        homepage="https://www.kaggle.com/datasets/khushikhushikhushi/dog-breed-image-dataset",
        citation="Dog Breed Image Dataset, Kaggle",
        credentials="kaggle",
    ),
)
SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
