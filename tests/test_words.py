"""The field's own words: what was once said in others stays out, so that a search for NaN, MLP or callback finds it."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path
    for pattern in (
        "lightning_gans/**/*.py",
        "*.md",
        "docs/*.md",
        "configs/**/*.yaml",
        "notebooks/*.ipynb",
        "tests/**/*.py",
    )
    for path in ROOT.glob(pattern)
    if path != Path(__file__)
)
RETIRED = {
    r"numbers? that (are|is) none|(is|are) no numbers?\b": "NaN or infinity",
    r"\bby heart\b": "memorised",
    r"\bperceptrons?\b": "MLP",
    r"\bgames?\b": "GAN, training, run",
    r"\bplay(s|ed|ing)?\b": "train, take part, run",
    r"\bobservers?\b": "callback",
    r"\b(whoever|nobody|somebody)\b": "the caller, the user, or the passive",
    r"\b(to|by) the bit\b": "bitwise identical",
    r"\bby chance\b": "random, randomised",
    r"\blearns apart\b": "training weights",
    r"\bgo(es|ing|ne)? on with\b": "resume, continue",
    r"\b(go|goes|going|gone|went) on\b": "resume, continue",
    r"\b(one|each|every|a) (player's )?(move|turn)\b|'s (move|turn)s?\b": "update",
    r"\b(the|a|of|this) house\b": "the library, the layout",
    r"\bcarr(y|ies|ied) a gradient\b": "with grad, requires_grad",
    r"\b(a|the|first|last|every|each) looks?\b(?!-ahead)": "check",
    r"\bwatch(es|ed|ing)? over\b|\ba watch\b": "monitor, check",
    r"\bjudge[sd]?\b|\bjudge?ments?\b": "discriminator, diagnose, evaluate",
    r"\bpresent(ed|ing)\b": "evaluation weights",
    r"\balike\b": "the same, identical",
    r"\bhostile\b": "untrusted input",
    r"\b(a loop )?by hand\b": "a plain PyTorch loop",
}
ALLOWED = {  # in the whole project, or in one file
    "": [r"two-player (minimax |zero-sum )?games?", r"zero-sum games?"],
    "lightning_gans/models/vanilla.py": [r"multilayer perceptrons?"],
    "CHANGELOG.md": [r"`[^`]*`"],  # the old names of what was renamed
}


def text_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


ANY_WORD = re.compile("|".join(RETIRED), re.IGNORECASE)


def retired_words_in(path):
    allowed = ALLOWED[""] + ALLOWED.get(str(path.relative_to(ROOT)), [])
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if not ANY_WORD.search(line):  # one search for all of them, as in nearly every line
            continue
        for words in allowed:
            line = re.sub(words, "", line, flags=re.IGNORECASE)
        for word, better in RETIRED.items():
            for match in re.finditer(word, line, re.IGNORECASE):
                yield f"{path.relative_to(ROOT)}:{number}: {match[0]!r} → {better}"


def test_retired_words_stay_out():
    assert not [found for path in FILES for found in retired_words_in(path)]
