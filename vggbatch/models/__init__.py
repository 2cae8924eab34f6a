"""Models: the zoo's catalog, getting and checking weights, synthetic ones, graph preparation."""

from vggbatch.models.catalog import CatalogEntry, catalog, synset
from vggbatch.models.fetch import pull
from vggbatch.models.preparation.prepare import PreparedModel, prepare
from vggbatch.models.resolve import Model, resolve
from vggbatch.models.synthesis import synthesize

__all__ = [
    "CatalogEntry",
    "Model",
    "PreparedModel",
    "catalog",
    "prepare",
    "pull",
    "resolve",
    "synset",
    "synthesize",
]
