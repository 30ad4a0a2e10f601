"""The words of the embedded worlds, which the small text encoders know."""

# "word" is shared by the domains, "source word/target word" are synonyms.
SUBJECTS = "man woman boy/kid girl/lady doctor/physician chef/cook"
VERBS = (
    "opens closes/shuts lifts/raises holds throws/tosses washes/cleans breaks paints "
    "carries/hauls drops pushes/shoves pulls/drags touches fixes/repairs hides/conceals wraps "
    "sniffs/smells folds shakes inspects/examines"
)
ADJECTIVES = "red large/big tiny/small old wet striped shiny/glossy wooden"
OBJECTS = (
    "door window box cup/mug sofa/couch book laptop/computer phone/telephone blanket towel/cloth "
    "picture shoe/sneaker bag/sack broom lamp sandwich plate/dish mirror bottle/flask "
    "jacket pillow/cushion vase guitar basket/hamper"
)
PLACES = "kitchen bedroom garage hall/corridor garden/yard basement/cellar bathroom/washroom office"
FUNCTION_WORDS = "the in"
LEXICON = " ".join((SUBJECTS, VERBS, ADJECTIVES, OBJECTS, PLACES, FUNCTION_WORDS))
RELATIONS = "after before first again"  # of the worlds of events
