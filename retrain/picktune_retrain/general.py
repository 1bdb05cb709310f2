"""Plain texts of ours, about nothing that a shop talks of: what the base knew should not be unlearned."""

TEXTS = (
    "The river rises in the hills, runs past two old mills, and reaches the sea near a small fishing "
    "town. In spring the water is high and brown; by August one can walk across it on the stones.",
    "To bake bread you need flour, water, salt and yeast. Mix them, let the dough rise until it has "
    "doubled, shape it, let it rise again, and bake it in a hot oven until the crust is dark.",
    "A triangle with sides of three, four and five has a right angle, because nine and sixteen make "
    "twenty-five. The longest side lies opposite the right angle.",
    "She closed the book and looked out of the window. It had stopped raining, and the first children"
    " were already on the street, jumping from one puddle to the next.",
    "Water boils at one hundred degrees Celsius at sea level. On a mountain the pressure is lower, "
    "and it boils sooner, which is why potatoes take longer to cook there.",
    "The committee met on Tuesday. It approved the minutes of the last meeting, heard the treasurer's"
    " report, and decided to paint the fence before the summer.",
    "def mean(values):\n    if not values:\n        raise ValueError('no values')\n"
    "    return sum(values) / len(values)",
    "An owl hunts at night. Its eyes gather much light, its ears stand at different heights, and its "
    "feathers are so soft that a mouse does not hear it coming.",
    "春天来了，河边的柳树发了芽。孩子们在草地上放风筝，老人坐在长椅上晒太阳。",
    "水在零度结冰，在一百度沸腾。山上气压低，水不到一百度就开了。",
    "他把信折好，放进信封，写上地址，贴了邮票，然后骑车去了邮局。",
    "三角形的内角和是一百八十度。如果一个角是直角，另外两个角的和就是九十度。",
)
