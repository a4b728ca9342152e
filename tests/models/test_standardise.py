import pytest
import torch

from updown_lab.errors import DataInvalid
from updown_lab.models.standardise import Standardise


def test_features_pass_unchanged_until_statistics_are_fitted():
    features = torch.tensor([[1.5, -2.0, 0.0]])

    got = Standardise(3)(features)

    torch.testing.assert_close(got, features)


def test_fitted_features_have_mean_zero_and_deviation_one_in_each_dimension():
    features = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.1]) + 7
    scale = Standardise(3)

    scale.fit(features.mean(0), features.std(0))

    torch.testing.assert_close(scale(features).mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scale(features).std(0), torch.ones(3))


def test_a_dimension_that_never_varies_becomes_zero_and_not_nan():
    scale = Standardise(2)
    scale.fit(torch.tensor([4.0, 1.0]), torch.tensor([0.0, 2.0]))

    got = scale(torch.tensor([[4.0, 5.0]]))

    torch.testing.assert_close(got, torch.tensor([[0.0, 2.0]]))  # by hand: (4-4)/1, (5-1)/2


def test_half_precision_features_of_the_store_are_read_in_the_models_precision():
    assert Standardise(2)(torch.ones(1, 2, dtype=torch.float16)).dtype == torch.float32


def test_the_statistics_are_saved_with_the_model():
    scale, again = Standardise(1), Standardise(1)
    scale.fit(torch.tensor([3.0]), torch.tensor([2.0]))

    again.load_state_dict(scale.state_dict())

    assert again(torch.tensor([[7.0]])).item() == 2.0


def test_features_of_another_size_are_refused_with_both_sizes_named():
    with pytest.raises(DataInvalid, match=r"D=2048 .* D=32; rebuild it with feature_dim=store.feature_dim"):
        Standardise(32)(torch.zeros(1, 2048))


@pytest.mark.parametrize("deviation", [[-1.0, 1.0], [float("nan"), 1.0], [1.0]])
def test_impossible_statistics_are_refused(deviation):
    with pytest.raises(ValueError, match="deviation"):
        Standardise(2).fit(torch.zeros(2), torch.tensor(deviation))
