"""One or several networks on cores of their own: pictures in, the most probable classes out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vggbatch.classifier.cores import Claim, claim_cores
from vggbatch.classifier.session import Session, SessionSpec
from vggbatch.classifier.topk import (
    BeyondFive,
    beyond_five,
    negative_log_likelihood,
    softmax,
    top_k,
)
from vggbatch.config import Preprocess, Protocol
from vggbatch.preprocess.image_buffer import ImageBuffer
from vggbatch.preprocess.transform import Normalizer, Pixels
from vggbatch.preprocess.views import View, cut, views


@dataclass(frozen=True)
class Predictions:
    """What the networks say of n images."""

    index: npt.NDArray[np.int32]
    """(n, 5) class indices, -1 past the last class."""
    probability: npt.NDArray[np.float32]
    """(n, 5)"""
    label_nll: npt.NDArray[np.float64]
    """(n,) -ln(probability of the image's own class), NaN where it has no label."""
    features: npt.NDArray[np.float32] | None
    """(n, 4096) activations of fc7, after its ReLU; only of one network's single crop."""
    bad: npt.NDArray[np.bool_]
    """(n,) whether a score is NaN or infinite, so that the other values mean nothing."""
    beyond: BeyondFive
    """What the probabilities of all classes show."""


@dataclass(frozen=True)
class NetworkSpec:
    """The prepared files of one network, those that a protocol needs."""

    crops: SessionSpec | None
    """Takes crops."""
    dense: SessionSpec | None
    """Takes pictures of any size."""


@dataclass(frozen=True)
class _Network:
    crops: Session | None
    dense: Session | None


class Classifier:
    """A network, or an ensemble, on cores that no other classifier on the machine uses.

    Probabilities are averaged in float64 and in one order, over the views of an image as the
    protocol weighs them and over the networks, so they do not depend on the micro-batch.

    Args:
        networks: at least one; all of the same classes.
        protocol: the views of each image.
        threads: intra-op threads; the networks take turns.
        micro_batch: crops in one run of a network; whole pictures run one by one. None: as
            suits the network.
        pin: pin the threads to cores of their own.
        top: how many classes to report.
    """

    def __init__(
        self,
        networks: Sequence[NetworkSpec],
        protocol: Protocol | None = None,
        *,
        threads: int = 1,
        micro_batch: int | None = None,
        pin: bool = True,
        top: int = 5,
    ) -> None:
        self.protocol = protocol or Protocol()
        self.views = views(self.protocol)
        # before the sessions: their threads inherit the mask of the thread that makes them
        self.claim: Claim | None = claim_cores(threads) if pin else None
        self.pin = pin
        self.micro_batch = micro_batch
        self.top = top
        self.with_features = any(len(spec.crops.outputs) > 1 for spec in networks if spec.crops)

        def opened(spec: SessionSpec | None) -> Session | None:
            return None if spec is None else Session(spec, threads)

        self.networks = [_Network(opened(spec.crops), opened(spec.dense)) for spec in networks]

    def share(self) -> Classifier:
        """Another one on the same open networks, for a thread with a core of its own.

        A network that is open runs in any number of threads at once; so only where each run stays
        in the thread that asks for it, with `threads` of 1.
        """
        other = copy.copy(self)
        other.claim = claim_cores(1) if self.pin else None
        return other

    def __call__(
        self,
        pictures: Sequence[ImageBuffer],
        profiles: Sequence[Preprocess],
        labels: npt.NDArray[np.int32] | None = None,
    ) -> Predictions:
        """Classify images, averaging over all views and networks.

        Args:
            pictures: for each network, of the n images at the protocol's scales.
            profiles: for each network, how its pictures become its input.
            labels: (n,) class index, -1 where unknown.
        """
        n = len(pictures[0])
        wanted = np.full(n, -1, np.int32) if labels is None else labels
        total: npt.NDArray[np.float64] = np.zeros((n, self.top if n == 0 else 0))
        likelihood = np.full(n, -np.inf)
        bad = np.zeros(n, np.bool_)
        features = [np.empty((0, 0), np.float32)]
        for network, packed, profile in zip(self.networks, pictures, profiles, strict=True):
            for view in self.views:
                session = network.dense if view.crop is None else network.crops
                assert session is not None, "opened for the protocol's views"
                weight = view.weight / len(self.networks)
                for rows, scores, more in self._look(session, packed, profile, view):
                    if not total.shape[1]:
                        total = np.zeros((n, scores.shape[1]))
                    finite = np.asarray(np.isfinite(scores).all(axis=1))
                    if not finite.all():
                        bad[rows] |= ~finite
                        scores = np.where(finite[:, None], scores, np.float32(0))
                    done = session.spec.probabilities
                    total[rows] += weight * (scores.astype(np.float64) if done else softmax(scores))
                    nll = negative_log_likelihood(scores, wanted[rows], probabilities=done)
                    with np.errstate(invalid="ignore"):  # NaN stays NaN
                        likelihood[rows] = np.logaddexp(likelihood[rows], np.log(weight) - nll)
                    if more is not None:
                        features.append(more)
        index, probability = top_k(total, self.top)
        found = np.concatenate(features[1:] or features) if self.with_features else None
        beyond = beyond_five(total, probability, wanted)
        likelihood = np.where(bad, np.nan, -likelihood)
        return Predictions(index, probability, likelihood, found, bad, beyond)

    def _look(
        self, session: Session, packed: ImageBuffer, profile: Preprocess, view: View
    ) -> Iterator[tuple[slice, npt.NDArray[np.float32], npt.NDArray[np.float32] | None]]:
        """One view of all images, batch by batch: which images, their scores and features."""
        normalize = Normalizer(profile, layout=session.spec.layout)
        seen = [self._cut(picture, view, profile.crop) for picture in packed.column(view.scale)]
        # whole pictures differ in size
        wanted = session.spec.batch or self.micro_batch or session.spec.micro_batch
        step = 1 if view.crop is None else wanted
        for start in range(0, len(seen), step):
            batch = np.stack(seen[start : start + step])
            yield slice(start, start + len(batch)), *session(normalize(batch))

    def _cut(self, picture: Pixels, view: View, crop: int) -> Pixels:
        kind = self.protocol.crops
        if view.crop is not None and kind is not None:
            picture = cut(picture, kind, view.crop, crop)
        return picture[:, ::-1] if view.mirrored else picture
