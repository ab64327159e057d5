from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.router.domain.classifier import Classifier, TurnFacts
from services.router.domain.classifier.model import GAIN, load
from tools.router_training.build import build, folds, out_of_fold, platt, probability
from tools.router_training.fit import LENGTH, LENGTH_UNIT, Config, fit
from tools.router_training.metrics import apgr, brier, calibration_error, cpt, pgr_curve
from tools.router_training.rows import Rows, load_rows
from tools.router_training.vectors import load_vectors

OPTIONS = "\nA. yes\nB. no\nC. perhaps\nD. none of these\nAnswer:"


def test_pgr_runs_from_nothing_to_all():
    curve = pgr_curve(np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, 1.0]))
    assert curve.tolist() == [0.0, 0.5, 0.5, 1.0]


def test_apgr_of_known_rankings():
    gains = np.array([1.0, 0.0, 0.0, 0.0])
    # By hand: trapezoids of [0, 1, 1, 1, 1] and [0, 0, 0, 0, 1].
    assert apgr(np.array([4.0, 3.0, 2.0, 1.0]), gains) == pytest.approx(0.875)
    assert apgr(np.array([1.0, 2.0, 3.0, 4.0]), gains) == pytest.approx(0.125)


def test_ties_are_worth_what_chance_is():
    assert apgr(np.zeros(7), np.array([1.0, 0, 0, -1, 1, 0, 1])) == pytest.approx(0.5)


def test_cpt_is_interpolated_at_the_first_crossing():
    scores, gains = np.arange(10.0, 0, -1), np.array([1.0] * 5 + [0.0] * 5)
    assert cpt(scores, gains, 0.5) == pytest.approx(25.0)
    assert cpt(scores, gains, 0.8) == pytest.approx(40.0)


def test_calibration_measures_of_forecasts_that_are_right_and_wrong():
    outcomes = np.array([0.0, 1.0] * 50)
    assert brier(np.full(100, 0.5), outcomes) == 0.25
    assert calibration_error(np.full(100, 0.5), outcomes) == 0.0
    assert calibration_error(np.full(100, 0.9), outcomes) == pytest.approx(0.4)


def test_platt_finds_the_numbers_that_made_the_outcomes():
    random = np.random.default_rng(1)
    values = random.normal(size=40_000)
    outcomes = (random.random(40_000) < probability(values, np.array([2.0, -0.5]))).astype(float)
    assert platt(values, outcomes) == pytest.approx([2.0, -0.5], abs=0.08)


def test_equal_prompts_share_a_fold():
    fold = folds(["a", "b", "a", "c", "b", "d"], 3, seed=0)
    assert fold[0] == fold[2]
    assert fold[1] == fold[4]


def made_rows(tmp_path: Path, count: int = 300) -> Rows:
    """Outcomes that depend on one word: the large model is right alone where an enzyme is asked about."""
    random = np.random.default_rng(0)
    lines = ["subject,prompt,small_correct,large_correct"]
    for n in range(count):
        topic = "enzyme kinetics" if n % 2 else "river towns"
        filler = " ".join(random.choice(["blue", "cold", "old", "wide", "near"], 8))
        small = int(random.random() < (0.2 if n % 2 else 0.9))
        lines.append(f'topic{n % 2},"Which {topic} is {filler}?{OPTIONS}",{small},1')
    (tmp_path / "mmlu_train.csv").write_text("\n".join(lines) + "\n")
    return load_rows(["mmlu"], tmp_path, load_vectors())


def test_what_a_word_means_for_the_gain_is_learned_and_carries_over_to_words_like_it(tmp_path: Path):
    rows = made_rows(tmp_path)
    assert apgr(out_of_fold(rows, Config(), seed=0)[:, GAIN], rows.gain) > 0.65
    model = Classifier(build(rows, load_vectors(), Config()))
    easy, hard = (f"Which {word} is cold?{OPTIONS}" for word in ("village", "protein"))
    assert model.score(hard) > 2 * model.score(easy)
    assert model.judge(TurnFacts(text=hard)).small_probability < model.judge(TurnFacts(text=easy)).small_probability


def test_rows_in_a_fold_are_not_seen_by_its_fit(tmp_path: Path):
    random = np.random.default_rng(3)
    rows = made_rows(tmp_path)
    told_apart = random.normal(size=(300, 96))
    outcomes = random.integers(0, 2, 300) * 1.0
    noise = replace(rows, small=outcomes, large=np.ones(300), words=told_apart, group=np.full(300, "one"))
    # A fit that believes every row ranks the rows that it has seen nearly perfectly.
    believing = Config(noise={"mmlu": 0.01})
    assert apgr(fit(noise, believing).predict(noise)[:, GAIN], noise.gain) > 0.65
    assert 0.4 < apgr(out_of_fold(noise, believing, seed=0)[:, GAIN], noise.gain) < 0.6


def test_with_believing_no_row_the_prior_is_left(tmp_path: Path):
    rows = made_rows(tmp_path)
    found = fit(rows, Config(noise={"mmlu": 1e12}))
    assert found.form[:, GAIN, LENGTH] == pytest.approx(Config().prior[0] / LENGTH_UNIT)
    assert np.abs(found.words).max() < 1e-6


def test_nothing_carries_over_between_domains_that_share_nothing(tmp_path: Path):
    rows = made_rows(tmp_path)
    apart, shared = (fit(rows, Config(shared=share)).words[1] for share in (0.0, 0.3))
    assert np.abs(apart).max() < 1e-9
    assert np.abs(shared).max() > 1e-3


def test_training_is_deterministic_and_survives_its_file(tmp_path: Path):
    rows = made_rows(tmp_path)
    one, two = (build(rows, load_vectors(), Config()) for _ in range(2))
    one.save(tmp_path / "one.npz")
    two.save(tmp_path / "two.npz")
    text = f"Which enzyme is cold?{OPTIONS}"
    assert Classifier(load(tmp_path / "one.npz")).score(text) == Classifier(load(tmp_path / "two.npz")).score(text)
    assert Classifier(load(tmp_path / "one.npz")).score(text) == pytest.approx(Classifier(one).score(text), abs=2e-3)


def test_a_fit_and_the_classifier_agree_on_a_text(tmp_path: Path):
    rows = made_rows(tmp_path)
    found = fit(rows, Config()).predict(rows)[:, GAIN]
    model = Classifier(build(rows, load_vectors(), Config()))
    scores = np.array([model.score(prompt) for prompt in rows.prompts])
    assert np.log(scores / (1 - scores)) / 8.0 + 0.15 == pytest.approx(found, abs=2e-3)
