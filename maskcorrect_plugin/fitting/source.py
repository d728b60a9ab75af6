"""Where a fit takes its answers from: a finished run, or records in memory."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.views import CANDIDATES

from .answers import COLUMNS, ViewAnswers, read_answers

if TYPE_CHECKING:
    import pandas as pd

FITTED = "fit"
"""What the recipe that is fitted is called in a run of ``maskcorrect fit``."""


@dataclass(frozen=True)
class Source:
    """Recipes whose views were kept, and their answers.

    Attributes:
        recipes: By name.
        frames: Gives the records of one of them.
        images: How many there are at most.
    """

    recipes: Mapping[str, Recipe]
    frames: Callable[[str], "Iterable[pd.DataFrame]"]
    images: int

    @classmethod
    def of(cls, run: Any) -> "Source":
        """From a finished run, its path, or by name recipes with their records; a source stays as it is.

        Raises:
            RunError: the run is not finished, or kept no answers of its views.
        """
        if isinstance(run, cls):
            return run
        if isinstance(run, Mapping):
            recipes = {name: recipe for name, (recipe, _) in run.items() if _can_be_fitted(recipe)}
            source = cls(recipes, lambda name: [run[name][1]], max((len(each) for _, each in run.values()), default=0))
            where = "the mapping"
        else:
            folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
            source, where = cls._of_folder(folder), str(folder.path)
        if not source.recipes:
            raise RunError(f"{where} has no recipe that corrected all images by views that were kept")
        return source

    @classmethod
    def _of_folder(cls, folder: RunFolder) -> "Source":
        if not folder.complete:
            raise RunError(f"{folder.path!s} is not finished; the command that began it resumes it")
        if folder.manifest.identity["records"]["distributions"] == "top":
            raise RunError(f"{folder.path!s} kept no answers of its views; run it with --distributions float32")
        recipes = {name: recipe for name in folder.methods if (recipe := _recipe(folder, name)) is not None}
        columns = ("failure", *COLUMNS)
        return cls(recipes, lambda name: folder.frames(name, columns), folder.manifest.num_images)

    @property
    def preferred(self) -> str:
        """`FITTED`, or the recipe with most views; among equals a guided one, whose maps are this image's own."""
        if FITTED in self.recipes:
            return FITTED

        def rank(name: str) -> tuple[int, bool]:
            recipe = self.recipes[name]
            return len(recipe.active_views), recipe.method is not None and not recipe.method.startswith("control:")

        return max(self.recipes, key=rank)

    def read(self, name: str, like: ViewAnswers | None = None) -> ViewAnswers:
        """The answers of a recipe.

        Args:
            name: Of the recipe.
            like: Those of another one, whose images and order they get.

        Raises:
            ValueError: the two do not have the same images.
        """
        answers = read_answers(self.frames(name), self.recipes[name], images=self.images)
        return answers if like is None else _aligned(answers, like)


def has_pool(recipe: Recipe, pool: str) -> bool:
    """Whether records of a recipe tell what its views add in a pool.

    Those of the log pool do not hold the weights ``Y[c_k]`` of the candidates, only their shares of the sum.
    """
    by_candidate = any(view.guided and view.map == CANDIDATES for view, _ in recipe.active_views)
    return not (pool == "sum" and recipe.pool == "log" and by_candidate)


def _recipe(folder: RunFolder, name: str) -> Recipe | None:
    try:
        recipe = folder.recipe(name)
    except RunError:  # an object of another kind
        return None
    return recipe if _can_be_fitted(recipe) else None


def _can_be_fitted(recipe: Recipe) -> bool:
    """Not where nothing was shown, where some images were not, or where only one number of each answer counted."""
    return bool(recipe.active_views) and recipe.max_gap is None and recipe.vote == "distribution"


def _aligned(theirs: ViewAnswers, answers: ViewAnswers) -> ViewAnswers:
    places = {image_id: row for row, image_id in enumerate(theirs.ids)}
    missing = [image_id for image_id in answers.ids if image_id not in places]
    if missing or len(theirs) != len(answers):
        example = f"; {len(missing)} are missing in one of them, for example {str(missing[0])!r}" if missing else ""
        raise ArgumentError(f"the recipes of the run must have the same images{example}")
    return theirs.of_rows([places[image_id] for image_id in answers.ids])
