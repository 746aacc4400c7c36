"""Agreement with skada if it is installed, in a separate process: importing it changes scikit-learn everywhere."""

import importlib.util
import subprocess
import sys

import pytest

CODE = """
import warnings
import numpy as np
import skada
from sklearn import set_config
set_config(enable_metadata_routing=False)
from transferkit import CORAL, ImportanceWeighting, LinearTransport, SubspaceAlignment
from transferkit._algorithms.domains.importance_weights import fit_kliep, fit_kmm, rbf_kernel

rng = np.random.default_rng(0)
source = rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5))
target = source[:60] * 0.5 + rng.normal(size=(60, 5)) * 0.3 + 0.5
X, domain = np.vstack([source, target]), np.repeat([1, -2], [80, 60])


def check_coral():
    for shrinkage in (None, 0.3):
        theirs = skada.CORALAdapter(reg=shrinkage).fit_transform(X, sample_domain=domain)
        ours = CORAL(shrinkage=shrinkage).fit_transform(X, sample_domain=domain) - target.mean(0)
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def check_transport():
    for bias in (True, False):
        theirs = skada.LinearOTMappingAdapter(reg=1e-3, bias=bias).fit_transform(X, sample_domain=domain)
        ours = LinearTransport(shrinkage=None, ridge=1e-3, centre=bias).fit_transform(X, sample_domain=domain)
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def check_subspace():
    theirs = skada.SubspaceAlignmentAdapter(3).fit_transform(X, sample_domain=domain)
    ours = SubspaceAlignment(3).fit_transform(X, sample_domain=domain)
    np.testing.assert_allclose(ours, theirs * np.sign((ours * theirs).sum(0)), atol=1e-8)


def check_kmm():
    adapter = skada.KMMReweightAdapter(gamma=0.2, solver="scipy", tol=1e-10, max_iter=5000)
    theirs = adapter.fit(X, sample_domain=domain).source_weights_
    kernel = rbf_kernel(source, source, 0.2)
    kappa = 80 * rbf_kernel(source, target, 0.2).mean(1)
    slack = (np.sqrt(80) - 1) / np.sqrt(80)
    ours, converged = fit_kmm(kernel, kappa, bound=1000.0, slack=slack, tol=1e-10, max_iter=100_000)
    assert converged
    objective = [w @ kernel @ w / 2 - kappa @ w for w in (ours, theirs)]
    assert objective[0] <= objective[1] + 1e-6 * abs(objective[1])
    assert abs(objective[0] - objective[1]) < 1e-3 * abs(objective[1])


def check_kliep():
    adapter = skada.KLIEPReweightAdapter(gamma=0.2, n_centers=20, random_state=0).fit(X, sample_domain=domain)
    kernel, means = rbf_kernel(target, adapter.centers_, 0.2), rbf_kernel(source, adapter.centers_, 0.2).mean(0)
    ours, converged = fit_kliep(kernel, means, tol=1e-7, max_iter=10_000)
    assert converged
    theirs = adapter.alpha_ / (means @ adapter.alpha_)
    assert np.log(kernel @ ours).mean() >= np.log(kernel @ theirs).mean() - 1e-9
    np.testing.assert_allclose(theirs, theirs.mean(), rtol=0.05)  # its steps are of the size of the rounding error


def check_logistic():
    adapter = skada.DiscriminatorReweightAdapter().fit(X, sample_domain=domain)
    theirs = adapter.compute_weights(X, sample_domain=domain)[:80]
    ours = ImportanceWeighting().fit(X, sample_domain=domain).sample_weight_[:80]
    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] < -0.99  # the inverse


warnings.simplefilter("ignore")
for check in (check_coral, check_transport, check_subspace, check_kmm, check_kliep, check_logistic):
    check()
print("agrees")
"""


@pytest.mark.skipif(importlib.util.find_spec("skada") is None, reason="skada is not installed")
def test_agrees_with_skada():
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert result.stdout == "agrees\n", result.stderr[-2000:]
