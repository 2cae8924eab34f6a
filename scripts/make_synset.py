"""Make synset.txt, the zoo's 1000 classes in output order, from the timm wheel.

The zoo's own synset.txt has these lines: each WordNet id of ImageNet-1k, sorted, and its lemmas.

    python scripts/make_synset.py [vggbatch/models/synset.txt]
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SHA256 = "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355"
FOLDER = "timm/data/_info/"


def main() -> None:
    """Download the wheel, write the file, check it."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "vggbatch/models/synset.txt")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "timm"]
        subprocess.run(command, check=True)
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        wnids = wheel.read(FOLDER + "imagenet_synsets.txt").decode().split()
        lemmas = wheel.read(FOLDER + "imagenet_synset_to_lemma.txt").decode().splitlines()
    names = dict(line.split("\t", 1) for line in lemmas)
    data = "".join(f"{wnid} {names[wnid]}\n" for wnid in wnids).encode()
    if hashlib.sha256(data).hexdigest() != SHA256:
        sys.exit("the timm wheel no longer gives the zoo's lines; nothing was written")
    target.write_bytes(data)


if __name__ == "__main__":
    main()
