"""All commands handle texts without spaces between words, and errors name options of words that exclude each other."""

import csv
import io
import itertools

import numpy as np
import pytest

import transferkit
from transferkit.cli._options import make_encoder

CHINESE = [
    ("小猫在家里睡觉", "宠物"),
    ("小狗在家里吃饭", "宠物"),
    ("股票今天上涨了", "金钱"),
    ("股票昨天下跌了", "金钱"),
]

CHAR, CHARACTER_WORDS = ("--analyzer", "char"), ("--token-pattern", r"\w")


@pytest.fixture
def chinese(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *map(",".join, CHINESE)]) + "\n", encoding="utf-8")
    (tmp_path / "t.txt").write_text("\n".join(text for text, _ in CHINESE) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        *itertools.product(["lsa", "tfidf", "tfidf+lsa", None], [CHAR, ("--analyzer", "char_wb"), CHARACTER_WORDS]),
        ("vectors", CHARACTER_WORDS),
    ],
)
def test_chinese_texts_are_learned_evaluated_and_predicted(encoder, options, chinese, run):
    how = ("--strategy", "scratch", *options)
    if encoder is not None:
        sizes = ("--encoder", encoder, "--n-components", 3, "--min-df", 1)
        assert run("pretrain", "t.txt", "-o", "e.tk", *sizes, *options)[0] == 0
        how = ("--strategy", "frozen", "-e", "e.tk")
    assert run("finetune", "t.csv", "-o", "m.tk", "-C", 10, *how)[::2] == (0, "")
    assert "accuracy  1.0000" in run("evaluate", "m.tk", "t.csv")[1]
    rows = list(csv.reader(io.StringIO(run("predict", "m.tk", "-", stdin="小猫小狗\n股票上涨\n")[1])))
    assert [row[:2] for row in rows[1:]] == [["小猫小狗", "宠物"], ["股票上涨", "金钱"]]


def test_parameters_are_those_of_the_options():
    encoder = make_encoder("lsa", analyzer="char_wb")
    assert (encoder.analyzer, encoder.ngram_range) == ("char_wb", (1, 3))
    assert make_encoder("tfidf", analyzer="char", max_ngram=2).ngram_range == (1, 2)
    assert make_encoder("tfidf", token_pattern=r"\w+").token_pattern == r"\w+"
    assert make_encoder("vectors", token_pattern=r"\w+").token_pattern == r"\w+"
    assert make_encoder("tfidf").get_params() == transferkit.TfidfEncoder(min_df=2, sublinear_tf=True).get_params()


def test_unfitted_encoder_of_default_parameters_is_the_default_of_scratch():
    texts, labels = ["a cat is here", "the stock again", "cats, the cow", "a bond"] * 3, ["pet", "money"] * 6
    models = [
        transferkit.TransferClassifier(encoder, strategy="scratch") for encoder in (None, transferkit.TfidfEncoder())
    ]
    expected, given = (model.fit(texts, labels).predict_proba(texts) for model in models)
    np.testing.assert_array_equal(given, expected)
    expected, given = ([part.get_params() for _, part in model.encoder_.transformer_list] for model in models)
    assert given == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("pretrain", "t.txt", "--analyzer", "char"), "Word vectors need words: --analyzer char needs --encoder lsa"),
        (("pretrain", "t.txt", "--max-ngram", 2), "--max-ngram needs --encoder lsa or tfidf"),
        (("pretrain", "t.txt", "--max-ngram", 0), "0 is not in the range x>=1"),
        (("finetune", "t.csv", "--strategy", "frozen", "--analyzer", "char"), "are for --strategy scratch without"),
        (("finetune", "t.csv", "-e", "e.tk", "--strategy", "scratch", "--token-pattern", "."), "Pass them to transf"),
        *(
            ((*command, "--token-pattern", pattern, *others), message)
            for command in (("pretrain", "t.txt"), ("finetune", "t.csv", "--strategy", "scratch"))
            for pattern, others, message in [
                ("(", (), "--token-pattern '(' is not a regular expression: missing )"),
                (r"\w*", (), "matches the empty text"),
                ("(a)(b)", (), "has 2 groups; it may have one"),
                (".", ("--analyzer", "char"), "omit one of them"),
                ("\\d", (), "no term was found in the texts"),
            ]
        ),
    ],
)  # fmt: skip
def test_impossible_options_are_rejected(args, message, chinese, run, tmp_path):
    code, out, error = run(*args, "-o", "out.tk")
    assert (code, out) == (2, "")
    assert error.startswith("Error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.tk").exists()
