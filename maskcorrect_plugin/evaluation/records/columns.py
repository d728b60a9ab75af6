"""The columns of records: one row for each image and method. `docs/records.md` explains them with examples.

=========================  =======================  ===================================================================
column                     type                     meaning
=========================  =======================  ===================================================================
index                      int64                    position in the data set
id                         string                   the data set's own name of the image, unique in it
label                      int32, nullable          the true class
failure                    string, nullable         why the image could not be done; everything below is null then
classes_before             list[int32]              the min(M, max(K, 5)) most probable classes, most probable first;
                                                    the first K are the candidates
probs_before               list[float32]            their probabilities
classes_after              list[int32]              the same after correction
probs_after                list[float32]            their probabilities
label_prob_before, _after  float32                  probability of the true class
label_rank_before, _after  int32                    rank of the true class, 1 for the answer itself
brier_before, _after       float32                  sum_m (p_m - [m = label])^2, in [0, 2]
gap12                      float32                  p1 - p2, before correction
gap15                      float32                  p1 - p_min(5,M), before correction
num_candidates             int32                    K
corrected                  bool                     False where max_gap passed the image unchanged
changed                    bool                     classes_after begins with another class than classes_before
flat                       list[bool]               for each of the V pictures: its map carried no information
forwards                   int32                    forwards of the model that the method takes of the image by itself
saved                      int32                    pictures that took none, because the image showed an equal one
seconds                    float32                  time that the method takes by itself, shared evenly within a group
weights                    list[float32]            the weight w_v of each of the V second answers in R
probs                      list[float], nullable    the whole Y (M values), unless a run keeps the top only
view_probs                 list[float], nullable    the second answers P_v, V rows of M values, one after the other
=========================  =======================  ===================================================================

The V second answers follow one another view after view, as the recipe in ``run.json`` lists them: K of a view that
follows each candidate's map, one of a view that follows the merged map, and as many as an unguided view shows
(`RunFolder.recipe` and `Recipe.columns`). ``probs`` and ``view_probs`` are in half precision unless a run says
otherwise. Where the vote is ``"distribution"`` and the pool ``"sum"``, ``R = sum_v w_v P_v``, so that a corrected
distribution can be recomputed: ``(Y + R) / (1 + sum_v w_v)``; in the log pool it is ``softmax(log Y + sum_v w_v log
P_v)``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

DISTRIBUTIONS = ("float16", "float32", "top")
"""How whole distributions are kept: in half or single precision, or only the most probable classes."""

TOP = 5
"""Classes kept at least: what top-5 accuracy and the paper's gap need."""


def records_schema(distributions: str = "float16") -> "pa.Schema":
    """The parquet schema of records.

    Args:
        distributions: One of `DISTRIBUTIONS`.
    """
    import pyarrow as pa

    half = pa.float32() if distributions == "float32" else pa.float16()
    fields = {
        "index": pa.int64(),
        "id": pa.string(),
        "label": pa.int32(),
        "failure": pa.string(),
        "classes_before": pa.list_(pa.int32()),
        "probs_before": pa.list_(pa.float32()),
        "classes_after": pa.list_(pa.int32()),
        "probs_after": pa.list_(pa.float32()),
        "label_prob_before": pa.float32(),
        "label_prob_after": pa.float32(),
        "label_rank_before": pa.int32(),
        "label_rank_after": pa.int32(),
        "brier_before": pa.float32(),
        "brier_after": pa.float32(),
        "gap12": pa.float32(),
        "gap15": pa.float32(),
        "num_candidates": pa.int32(),
        "corrected": pa.bool_(),
        "changed": pa.bool_(),
        "flat": pa.list_(pa.bool_()),
        "forwards": pa.int32(),
        "saved": pa.int32(),
        "seconds": pa.float32(),
        "weights": pa.list_(pa.float32()),
        "probs": pa.list_(half),
        "view_probs": pa.list_(half),
    }
    return pa.schema(list(fields.items()))
