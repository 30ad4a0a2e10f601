"""Noun chunks of English sentences by rules: an approximation without a parser."""

import re

import numpy as np

_TOKEN = re.compile(r"\w+(?:[-'\u2019]\w+)*|[^\w\s]")
_VERB, _STOP, _DETERMINER, _PRONOUN, _ADVERB, _OTHER = range(6)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are a chunk, or bound one.
PRONOUNS = _words(
    """i you he she it we they me him us them myself yourself himself herself itself ourselves
    themselves someone somebody something anyone anybody anything everyone everybody everything
    nobody nothing who whom what"""
)
RELATIVE = frozenset({"that"})  # opens a clause more often than it points
DETERMINERS = RELATIVE | _words(
    """a an the this these those my your his her its our their some any no every each another
    other all both several many few more most one two three four five six seven eight nine
    ten"""
)
STOPS = _words(
    """about above across after against along alongside amongst among around as at away back
    because before behind below beneath beside besides between beyond but by despite down during
    for from if in inside into like near next of off on once onto or out outside over past per
    since so than then though through throughout till to together toward towards under underneath
    until unto up upon via when where whether which while whilst whose with within without yet
    and nor not also again ahead almost already always apart aside away else even ever finally
    first forward forwards backward backwards here how however just later maybe meanwhile never
    now often only perhaps quite rather really right soon still there too twice upstairs
    downstairs very why afterwards well straight
    am is are was were be been being do does did doing done have has had having can could will
    would shall should may might must isn't aren't wasn't weren't don't doesn't didn't can't
    couldn't won't wouldn't haven't hasn't hadn't 's n't let lets
    able asleep awake empty happy ready shown seen"""
)
NOUNS_IN_LY = _words("family belly jelly fly assembly ally bully rally reply supply")

_VERBS = """add adjust appear apply approach arrange arrive ask assemble attach attempt bake
balance bathe become begin bend bite blow boil bounce bow box break breathe bring brush build burn
button call carry catch change check cheer chew chop clap clean clear climb close collect comb
come compete consume continue cook cough count cover crash crawl cross cry cut dance demonstrate
descend describe dip dive do drag draw drink drive drop dry dunk dust eat embrace empty end enjoy
enter examine exit explain eye fall fasten feed feel fetch fight fill find finish fix flip float
fly fold follow get give glance go grab grasp greet grin grip hand hang hear help hide hit hold
hop hug hurry ignite inspect interact introduce iron jog jump keep kick kiss kneel knit knock know
laugh lay lead lean leap leave lick lie lift listen load look lose lower make march measure meet
mix mop move mow nod notice offer open operate organize pack paint pass paste pause pedal peek
peel perform pet pick pitch place play point pose pour practice prepare press proceed pull punch
push put reach read receive record relax remove repeat replace rest return ride rinse roll rub run
sand say scoop scrape scratch scream scrub search see seem serve set shake sharpen shave shoot
shoulder shovel show shut sing sip sit skate skip slam sleep slice slide slip smell smile smoke
smooth snack sneeze sniff snuggle sort speak spin spit spray spread sprint squat squeeze stack
stand stare start stay step stir stop store straighten stretch strike struggle stumble sweep swim
swing switch take talk tap taste tear tell test throw tidy tie tighten toss touch toy trim trip
try tuck turn twirl twist type undress unlock unpack unwrap use vacuum wake walk wander want warm
wash watch wave wear whisk win wind wipe work wrap wrestle write yawn yell zip"""
_IRREGULAR = """ate beaten became began begun bent bit bitten blew blown bought broke broken
brought built came caught chosen chose dealt did drank drawn drew driven drove drunk eaten fallen
fed fell felt flew flown fought found gave given gone got gotten had heard held hid hidden hung kept
knelt knew known laid lain led left lost made met ran ridden risen rode rose said sang sat saw
shook shaken shot sung slept slid sought spoke spoken spun spat stood struck stuck swam swept swum
swung taken taught thought threw thrown told took tore torn went woke woken won wore worn wound
wrote written beginning lying tying dying"""
_SHORT = re.compile(r"[^aeiou]*[aeiou][bdgklmnprt]")  # doubles its last letter: stop, stopping


def _forms(verb: str) -> set[str]:
    """The regular forms of a verb: opens, opening, opened."""
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        third = f"{verb}es"
    elif re.search(r"[^aeiou]y$", verb):
        third = f"{verb[:-1]}ies"
    else:
        third = f"{verb}s"
    stem = verb
    if _SHORT.fullmatch(verb):
        stem = verb + verb[-1]
    elif verb.endswith("e") and not verb.endswith("ee"):
        stem = verb[:-1]
    past = f"{verb[:-1]}ied" if re.search(r"[^aeiou]y$", verb) else f"{stem}ed"
    return {verb, third, f"{stem}ing", past}


VERB_FORMS = frozenset(_IRREGULAR.split()).union(*map(_forms, _VERBS.split()))


def chunk_by_rules(sentence: str) -> np.ndarray:
    """The noun chunks of one English sentence, about: character spans (C, 2) int32.

    A chunk is a pronoun by itself, or determiners, then words up to the first that is a
    preposition, conjunction, auxiliary, adverb, punctuation, a determiner again, or the form of
    a verb of a list. After a determiner the form of a verb is a noun or an adjective: "a drink",
    "the closed door". What it gets wrong: verbs that are not in the list, adjectives without a
    noun ("is happy"), two adjectives with "and".
    """
    found: list[tuple[int, int]] = []
    start = end = 0  # of the chunk that is being read; empty when there is none
    opening = ""  # its last determiner, while it holds nothing else

    def close() -> None:
        nonlocal end, opening
        if end > start and opening not in ("a", "an", "the", *RELATIVE):
            found.append((start, end))
        start_over()

    def start_over() -> None:
        nonlocal start, end, opening
        start, end, opening = 0, 0, ""

    for match in _TOKEN.finditer(sentence):
        word = match.group().lower().replace("\u2019", "'")
        kind = _kind(word)
        if kind == _PRONOUN:
            close()
            found.append(match.span())
        elif kind == _DETERMINER:
            if not opening:
                close()
                start = match.start()
            end, opening = match.end(), word
        elif kind == _OTHER or (kind != _STOP and opening and opening not in RELATIVE):
            if end == 0:
                start = match.start()
            end, opening = match.end(), ""
        else:
            close()
    close()
    return np.array(found, np.int32).reshape(-1, 2)


def _kind(word: str) -> int:
    """What a word does to a chunk."""
    if word in PRONOUNS:
        return _PRONOUN
    if word in DETERMINERS or word.isdigit():
        return _DETERMINER
    if word in STOPS or not word[0].isalnum():
        return _STOP
    if word in VERB_FORMS:
        return _VERB
    return _ADVERB if word.endswith("ly") and word not in NOUNS_IN_LY else _OTHER
