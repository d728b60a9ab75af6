"""Controls that show the image once, by one map that stands for all candidates."""

from abc import abstractmethod
from collections.abc import Iterator

from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.corrector import Group, SecondAnswers

from .base import MapControl


class OneMask(MapControl):
    """Asks again about one view, with the weight of all candidates together: ``R = (sum_k w_k) f(M)``.

    The second answer then counts as much against the first as in the correction. A view that belongs to no single
    candidate has no diagonal, so `vote` does not concern it.
    """

    @property
    def num_views(self) -> int:
        """The image, shown by the one map."""
        return 1

    @abstractmethod
    def one_map(self, group: Group) -> Tensor:
        """The map (n,1,H,W) in [0, 1] of each image."""

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to the view by the one map."""
        weights = functional.candidate_weights(group.probs, group.candidates, self.weights).sum(dim=1, keepdim=True)
        maps, flat = functional.zero_where_flat(self.one_map(group))
        answers = self.ask_about_maps(group.inputs, maps, self.view.prepare(group.inputs))
        yield SecondAnswers(weights, answers, flat, maps)
