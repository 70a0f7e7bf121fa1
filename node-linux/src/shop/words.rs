//! The words products are named and described with.

/// Drawing that stands for a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Blanket,
    Blocks,
    Book,
    Bottle,
    Bowl,
    Cushion,
    Jar,
    Lamp,
    Lantern,
    Mug,
    Pan,
    Pen,
    Pendant,
    Plant,
    Teapot,
    Tent,
    Tool,
    WateringCan,
}

/// A department of the shop.
pub(super) struct Department {
    pub(super) name: &'static str,
    pub(super) slug: &'static str,
    /// Two letters of the SKU.
    pub(super) code: &'static str,
    pub(super) blurb: &'static str,
    /// Hue of its pictures, degrees.
    pub(super) hue: u16,
    pub(super) materials: &'static [&'static str],
    /// Noun, usual price in euros, drawing.
    pub(super) nouns: &'static [(&'static str, u64, Shape)],
    /// A sentence each; one ends up in a product's description.
    pub(super) uses: &'static [&'static str],
}

/// Prime in number, so that combinations with the other lists repeat late.
pub(super) const ADJECTIVES: &[&str] =
    &["Nordic", "Harbour", "Alder", "Hollow", "Quiet", "Meadow", "Northern", "Little", "Everyday", "Juniper", "Dune"];

pub(super) const MAKERS: &[&str] = &[
    "Made in small batches by a family workshop in Porto.",
    "Made by hand in a studio of six people near Ghent.",
    "Finished by hand; no two pieces are quite the same.",
    "Designed in Turku and made a short drive from there.",
    "Made to be repaired: every part can be ordered singly.",
    "Made by a cooperative that has done little else since 1954.",
    "Packed without plastic, sent within two working days.",
];

pub(super) const CARES: &[&str] = &[
    "Ages well and asks for little.",
    "Wipe with a damp cloth; that is all it needs.",
    "Comes with a care card and a spare part.",
    "Five years of guarantee.",
    "Looks better in the second year than in the first.",
];

pub(super) const DEPARTMENTS: &[Department] = &[
    Department {
        name: "Kitchen",
        slug: "kitchen",
        code: "KI",
        blurb: "Pans, bowls and boards that stay on the table.",
        hue: 18,
        materials: &["Stoneware", "Cast Iron", "Olive Wood", "Enamel", "Copper", "Oak", "Porcelain", "Steel"],
        nouns: &[
            ("Mixing Bowl", 29, Shape::Bowl),
            ("Frying Pan", 64, Shape::Pan),
            ("Storage Jar", 18, Shape::Jar),
            ("Salad Bowl", 38, Shape::Bowl),
            ("Casserole", 119, Shape::Pan),
            ("Oil Bottle", 24, Shape::Bottle),
            ("Spice Jar Set", 32, Shape::Jar),
            ("Sauté Pan", 89, Shape::Pan),
            ("Pasta Bowl", 22, Shape::Bowl),
            ("Milk Bottle", 16, Shape::Bottle),
        ],
        uses: &[
            "Goes from the stove to the table without apology.",
            "Heavy enough to stay put, light enough for one hand.",
            "The size that turns out to be right on most days.",
        ],
    },
    Department {
        name: "Tea & Coffee",
        slug: "tea-and-coffee",
        code: "TC",
        blurb: "For the first cup and the one after lunch.",
        hue: 32,
        materials: &["Stoneware", "Glass", "Porcelain", "Enamel", "Terracotta", "Speckled Clay", "Steel", "Brass"],
        nouns: &[
            ("Mug", 17, Shape::Mug),
            ("Teapot", 54, Shape::Teapot),
            ("Coffee Canister", 27, Shape::Jar),
            ("Espresso Cup", 12, Shape::Mug),
            ("Gooseneck Kettle", 79, Shape::Teapot),
            ("Travel Cup", 26, Shape::Bottle),
            ("Tea Caddy", 21, Shape::Jar),
            ("Breakfast Mug", 19, Shape::Mug),
            ("Cold Brew Bottle", 34, Shape::Bottle),
        ],
        uses: &[
            "Keeps its warmth through a long conversation.",
            "Pours without a drip, even in a hurry.",
            "The handle has room for three fingers.",
        ],
    },
    Department {
        name: "Lighting",
        slug: "lighting",
        code: "LI",
        blurb: "Warm light for reading, eating and finding the keys.",
        hue: 45,
        materials: &["Linen", "Brass", "Smoked Glass", "Paper", "Ash Wood", "Ceramic", "Opal Glass", "Blackened Steel"],
        nouns: &[
            ("Table Lamp", 98, Shape::Lamp),
            ("Pendant", 139, Shape::Pendant),
            ("Storm Lantern", 46, Shape::Lantern),
            ("Reading Lamp", 112, Shape::Lamp),
            ("Candle Lantern", 28, Shape::Lantern),
            ("Kitchen Pendant", 159, Shape::Pendant),
            ("Bedside Lamp", 74, Shape::Lamp),
        ],
        uses: &[
            "Throws a soft, even light that flatters the room.",
            "Dims down to the glow of a single candle.",
            "Comes with a two-metre textile cable.",
        ],
    },
    Department {
        name: "Textiles",
        slug: "textiles",
        code: "TX",
        blurb: "Wool, linen and cotton for sofas and cold feet.",
        hue: 340,
        materials: &["Wool", "Linen", "Washed Cotton", "Mohair", "Alpaca", "Herringbone", "Waffle", "Merino"],
        nouns: &[
            ("Throw", 89, Shape::Blanket),
            ("Cushion", 39, Shape::Cushion),
            ("Picnic Blanket", 69, Shape::Blanket),
            ("Floor Cushion", 84, Shape::Cushion),
            ("Bedspread", 149, Shape::Blanket),
            ("Bolster", 44, Shape::Cushion),
            ("Baby Blanket", 49, Shape::Blanket),
        ],
        uses: &[
            "Soft from the first day and softer after every wash.",
            "Large enough to share, if it must be.",
            "Woven slowly on looms older than most of us.",
        ],
    },
    Department {
        name: "Garden",
        slug: "garden",
        code: "GA",
        blurb: "For balconies, beds and windowsills.",
        hue: 128,
        materials: &["Terracotta", "Galvanised", "Beech", "Zinc", "Glazed", "Copper", "Fibre Clay", "Forged"],
        nouns: &[
            ("Planter", 34, Shape::Plant),
            ("Watering Can", 42, Shape::WateringCan),
            ("Hand Trowel", 19, Shape::Tool),
            ("Herb Pot", 14, Shape::Plant),
            ("Hand Fork", 21, Shape::Tool),
            ("Window Box", 46, Shape::Plant),
            ("Indoor Watering Can", 29, Shape::WateringCan),
            ("Plant Mister", 18, Shape::Bottle),
        ],
        uses: &[
            "Stands a winter outside without complaint.",
            "Balanced so that a full one still pours gently.",
            "Drains well, which is most of the secret.",
        ],
    },
    Department {
        name: "Outdoors",
        slug: "outdoors",
        code: "OU",
        blurb: "Light things for long walks and short nights.",
        hue: 172,
        materials: &["Canvas", "Ripstop", "Titanium", "Waxed", "Recycled", "Insulated", "Featherlight", "Aluminium"],
        nouns: &[
            ("Trail Tent", 289, Shape::Tent),
            ("Water Bottle", 27, Shape::Bottle),
            ("Camp Mug", 18, Shape::Mug),
            ("Camp Lantern", 44, Shape::Lantern),
            ("Bivouac", 169, Shape::Tent),
            ("Camp Pan", 36, Shape::Pan),
            ("Tarp", 98, Shape::Tent),
            ("Stove Pot", 48, Shape::Pan),
            ("Camp Blanket", 76, Shape::Blanket),
        ],
        uses: &[
            "Packs down to the size of a loaf of bread.",
            "Tested through one very wet week in Wales.",
            "Weighs less than the snacks you will bring.",
        ],
    },
    Department {
        name: "Stationery",
        slug: "stationery",
        code: "ST",
        blurb: "Paper that likes ink, and pens that like paper.",
        hue: 222,
        materials: &["Linen-Bound", "Dotted", "Brass", "Recycled", "Cloth", "Walnut", "Ruled", "Kraft"],
        nouns: &[
            ("Notebook", 16, Shape::Book),
            ("Fountain Pen", 58, Shape::Pen),
            ("Sketchbook", 22, Shape::Book),
            ("Pencil Set", 14, Shape::Pen),
            ("Desk Diary", 28, Shape::Book),
            ("Rollerball", 36, Shape::Pen),
            ("Ink Bottle", 13, Shape::Bottle),
            ("Address Book", 19, Shape::Book),
        ],
        uses: &[
            "Opens flat and stays that way.",
            "The kind that makes you write a letter again.",
            "Fits a coat pocket, with room for a pencil.",
        ],
    },
    Department {
        name: "Play",
        slug: "play",
        code: "PL",
        blurb: "Toys without batteries, for more than one child.",
        hue: 272,
        materials: &["Beech", "Maple", "Felt", "Rainbow", "Lime Wood", "Cork", "Painted", "Cotton"],
        nouns: &[
            ("Building Blocks", 34, Shape::Blocks),
            ("Stacking Tower", 26, Shape::Blocks),
            ("Picture Book", 15, Shape::Book),
            ("Play Tent", 96, Shape::Tent),
            ("Story Cards", 18, Shape::Book),
            ("Marble Run", 58, Shape::Blocks),
            ("Tea Party Set", 38, Shape::Teapot),
            ("Puzzle Blocks", 24, Shape::Blocks),
        ],
        uses: &[
            "Survives being thrown, and often is.",
            "Painted with colours that are safe to chew.",
            "Keeps two children quiet for the length of a coffee.",
        ],
    },
];
