//! Pictures of products: a drawing of the kind of thing, in the product's own colours.

use super::{catalogue::Product, price::mix, words::Shape};

/// A square picture as a whole SVG document.
pub(super) fn svg(product: &Product) -> String {
    let base = u64::from(product.department.hue);
    let hue = (base + 345 + mix(product.seed, 30) % 40) % 360;
    let accent = (hue + 28 + mix(product.seed, 31) % 4 * 90) % 360;
    let tone = 44 + mix(product.seed, 32) % 16;
    let main = format!("hsl({hue} 38% {tone}%)");
    let dark = format!("hsl({hue} 40% {}%)", tone - 16);
    let light = format!("hsl({hue} 46% {}%)", tone + 18);
    let spot = format!("hsl({accent} 44% 58%)");
    let drawing = drawing(product.shape)
        .replace("MAIN", &main)
        .replace("DARK", &dark)
        .replace("LIGHT", &light)
        .replace("SPOT", &spot);
    let flipped = mix(product.seed, 33).is_multiple_of(2);
    let turn = if flipped { " transform=\"translate(200 0) scale(-1 1)\"" } else { "" };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 200 200\">\
         <defs><radialGradient id=\"g\" cx=\"50%\" cy=\"38%\" r=\"75%\">\
         <stop offset=\"0\" stop-color=\"hsl({hue} 36% 95%)\"/><stop offset=\"1\" stop-color=\"hsl({hue} 26% 85%)\"/>\
         </radialGradient></defs>\
         <rect width=\"200\" height=\"200\" fill=\"url(#g)\"/>\
         <ellipse cx=\"100\" cy=\"163\" rx=\"58\" ry=\"7\" fill=\"hsl({hue} 22% 30%)\" opacity=\".16\"/>\
         <g{turn} stroke-linejoin=\"round\" stroke-linecap=\"round\">{drawing}</g></svg>"
    )
}

fn drawing(shape: Shape) -> &'static str {
    match shape {
        Shape::Blanket => {
            "<path d='M44 96h112v58q0 8-8 8H52q-8 0-8-8z' fill='MAIN'/>\
             <path d='M44 112h112M44 138h112' stroke='LIGHT' stroke-width='6'/>\
             <path d='M44 120h112M44 146h112' stroke='SPOT' stroke-width='3'/>\
             <path d='M52 66h96q8 0 8 8v24H44V74q0-8 8-8z' fill='DARK'/>\
             <path d='M44 98q56 12 112 0' stroke='LIGHT' stroke-width='3' fill='none'/>"
        }
        Shape::Blocks => {
            "<rect x='46' y='112' width='50' height='50' rx='5' fill='MAIN'/>\
             <rect x='102' y='112' width='50' height='50' rx='5' fill='SPOT'/>\
             <rect x='74' y='58' width='50' height='50' rx='5' fill='DARK'/>\
             <path d='M71 124l12 24H59z' fill='LIGHT'/><circle cx='127' cy='137' r='12' fill='LIGHT'/>\
             <rect x='88' y='72' width='22' height='22' fill='LIGHT'/>"
        }
        Shape::Book => {
            "<path d='M62 44h78q6 0 6 6v106q0 6-6 6H62q-8 0-8-8V52q0-8 8-8z' fill='MAIN'/>\
             <path d='M54 52q0-8 8-8h8v118h-8q-8 0-8-8z' fill='DARK'/>\
             <rect x='86' y='68' width='44' height='26' rx='2' fill='LIGHT'/>\
             <path d='M92 78h32M92 86h20' stroke='DARK' stroke-width='3'/>\
             <path d='M128 44v34l7-6 7 6V44z' fill='SPOT'/>"
        }
        Shape::Bottle => {
            "<rect x='88' y='34' width='24' height='16' rx='4' fill='SPOT'/>\
             <path d='M90 52h20v12q18 8 18 26v62q0 10-10 10H82q-10 0-10-10V90q0-18 18-26z' fill='MAIN'/>\
             <rect x='72' y='100' width='56' height='34' fill='LIGHT'/>\
             <path d='M82 112h36M82 122h24' stroke='DARK' stroke-width='3'/>\
             <path d='M82 88q2-8 8-12' stroke='LIGHT' stroke-width='5' fill='none'/>"
        }
        Shape::Bowl => {
            "<path d='M36 92h128q-2 52-46 66v4H82v-4q-44-14-46-66z' fill='MAIN'/>\
             <ellipse cx='100' cy='92' rx='64' ry='15' fill='DARK'/>\
             <ellipse cx='100' cy='94' rx='54' ry='10' fill='LIGHT'/>\
             <path d='M48 118q52 22 104 0' stroke='SPOT' stroke-width='5' fill='none'/>"
        }
        Shape::Cushion => {
            "<path d='M46 62q54-10 108 0 10 48 0 98-54 8-108 0-10-50 0-98z' fill='MAIN'/>\
             <path d='M62 66q-8 46 0 92M84 60q-4 50 0 102M116 60q4 50 0 102M138 66q8 46 0 92' \
             stroke='LIGHT' stroke-width='5' fill='none'/>\
             <circle cx='100' cy='111' r='5' fill='DARK'/>\
             <path d='M46 62q54-10 108 0' stroke='SPOT' stroke-width='4' fill='none'/>"
        }
        Shape::Jar => {
            "<rect x='64' y='44' width='72' height='20' rx='6' fill='SPOT'/>\
             <path d='M66 68h68q10 8 10 20v62q0 12-12 12H68q-12 0-12-12V88q0-12 10-20z' fill='MAIN'/>\
             <rect x='76' y='98' width='48' height='34' rx='3' fill='LIGHT'/>\
             <path d='M84 110h32M84 120h20' stroke='DARK' stroke-width='3'/>\
             <path d='M66 88v50' stroke='LIGHT' stroke-width='4' opacity='.6'/>"
        }
        Shape::Lamp => {
            "<path d='M76 42h48l24 54H52z' fill='MAIN'/><path d='M52 96h96' stroke='SPOT' stroke-width='5'/>\
             <path d='M60 100l-14 54h108l-14-54z' fill='LIGHT' opacity='.35'/>\
             <path d='M100 96v58' stroke='DARK' stroke-width='7'/>\
             <path d='M70 162q0-12 14-12h32q14 0 14 12z' fill='DARK'/>"
        }
        Shape::Lantern => {
            "<path d='M76 54q0-24 24-24t24 24' stroke='DARK' stroke-width='5' fill='none'/>\
             <path d='M70 66l14-12h32l14 12z' fill='DARK'/>\
             <rect x='70' y='66' width='60' height='80' rx='4' fill='LIGHT'/>\
             <path d='M70 66v80M100 66v20M130 66v80' stroke='MAIN' stroke-width='6'/>\
             <path d='M100 90q16 20 10 32-4 8-10 8t-10-8q-6-12 10-32z' fill='#f2b84b'/>\
             <rect x='62' y='146' width='76' height='16' rx='4' fill='DARK'/>"
        }
        Shape::Mug => {
            "<path d='M128 84h14q20 0 20 24t-20 24h-16' stroke='DARK' stroke-width='11' fill='none'/>\
             <path d='M46 64h88v80q0 18-18 18H64q-18 0-18-18z' fill='MAIN'/>\
             <ellipse cx='90' cy='64' rx='44' ry='11' fill='DARK'/><ellipse cx='90' cy='66' rx='35' ry='7' fill='LIGHT'/>\
             <path d='M46 124h88v20q0 18-18 18H64q-18 0-18-18z' fill='SPOT' opacity='.75'/>"
        }
        Shape::Pan => {
            "<path d='M132 112l52-14' stroke='SPOT' stroke-width='11'/>\
             <path d='M26 100h112v34q0 28-28 28H54q-28 0-28-28z' fill='MAIN'/>\
             <ellipse cx='82' cy='100' rx='56' ry='14' fill='DARK'/>\
             <ellipse cx='82' cy='102' rx='46' ry='9' fill='LIGHT' opacity='.8'/>\
             <path d='M66 74q-6-8 0-16t0-16M98 74q-6-8 0-16t0-16' stroke='LIGHT' stroke-width='4' fill='none'/>"
        }
        Shape::Pen => {
            "<g transform='rotate(38 100 100)'><rect x='88' y='28' width='24' height='66' rx='8' fill='DARK'/>\
             <rect x='106' y='36' width='6' height='44' rx='3' fill='SPOT'/>\
             <rect x='88' y='90' width='24' height='8' fill='SPOT'/><path d='M88 98h24v34l-6 14H94l-6-14z' fill='MAIN'/>\
             <path d='M93 146h14l-7 24z' fill='LIGHT'/><path d='M100 152v14' stroke='DARK' stroke-width='2'/></g>"
        }
        Shape::Pendant => {
            "<path d='M100 0v54' stroke='DARK' stroke-width='4'/><rect x='92' y='50' width='16' height='16' fill='SPOT'/>\
             <path d='M100 62q46 6 54 62H46q8-56 54-62z' fill='MAIN'/><ellipse cx='100' cy='124' rx='54' ry='9' fill='LIGHT'/>\
             <circle cx='100' cy='128' r='11' fill='#fff6d8'/>\
             <path d='M58 134l-12 28h108l-12-28z' fill='LIGHT' opacity='.3'/>"
        }
        Shape::Plant => {
            "<path d='M100 104q-44-8-46-50 40 4 46 50zM100 104q44-8 46-50-40 4-46 50z' fill='#5c8a5b'/>\
             <path d='M100 106q-18-34 0-72 18 38 0 72z' fill='#79a873'/>\
             <path d='M62 104h76l-10 58H72z' fill='MAIN'/><rect x='56' y='98' width='88' height='16' rx='4' fill='DARK'/>\
             <path d='M68 136h64' stroke='SPOT' stroke-width='5'/>"
        }
        Shape::Teapot => {
            "<path d='M142 88q28-8 26 22t-34 32' stroke='DARK' stroke-width='9' fill='none'/>\
             <path d='M62 104q-22-2-28-30l-10 2q6 50 44 60z' fill='DARK'/>\
             <path d='M100 72q50 0 50 48 0 30-26 42H76q-26-12-26-42 0-48 50-48z' fill='MAIN'/>\
             <ellipse cx='100' cy='76' rx='28' ry='8' fill='DARK'/><circle cx='100' cy='62' r='8' fill='SPOT'/>\
             <path d='M52 124q48 18 96 0' stroke='SPOT' stroke-width='5' fill='none'/>"
        }
        Shape::Tent => {
            "<path d='M100 44l76 118H24z' fill='MAIN'/><path d='M100 44l76 118h-46z' fill='DARK'/>\
             <path d='M100 70l26 92H74z' fill='LIGHT'/><path d='M100 70v92' stroke='DARK' stroke-width='3'/>\
             <path d='M100 44V30l18 6-18 6' fill='SPOT' stroke='SPOT' stroke-width='2'/>\
             <path d='M24 162l-12 4M176 162l12 4' stroke='DARK' stroke-width='3'/>"
        }
        Shape::Tool => {
            "<g transform='rotate(28 100 100)'><rect x='91' y='22' width='18' height='62' rx='9' fill='SPOT'/>\
             <path d='M100 80v30' stroke='DARK' stroke-width='8'/>\
             <path d='M78 108h44v26q0 26-22 44-22-18-22-44z' fill='MAIN'/>\
             <path d='M100 116v46' stroke='LIGHT' stroke-width='4'/></g>"
        }
        Shape::WateringCan => {
            "<path d='M70 76q30-40 58 0' stroke='DARK' stroke-width='8' fill='none'/>\
             <path d='M128 92q30-4 28 24t-30 24' stroke='DARK' stroke-width='8' fill='none'/>\
             <path d='M66 128L30 84l-8 8 38 62z' fill='DARK'/><path d='M14 92l22-18' stroke='SPOT' stroke-width='9'/>\
             <path d='M60 76h72v76q0 10-10 10H70q-10 0-10-10z' fill='MAIN'/>\
             <path d='M60 96h72M60 142h72' stroke='LIGHT' stroke-width='5'/>"
        }
    }
}
