//! Pages that list products: the front page, departments page by page, the sitemap.

use std::fmt::Write as _;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    catalogue::{Catalogue, Product},
    page::{SHOP_NAME, escape, frame, grid},
    price::{Period, Price},
    words::DEPARTMENTS,
};

/// Products on one page of a department.
const PAGE_SIZE: usize = 24;

pub(super) fn home(catalogue: &Catalogue, now: Period) -> String {
    let mut main = String::from(
        "<section class=\"hero\"><div><h1>Good things for<br>home and away</h1><p>Pans, lamps, blankets and a tent or \
         two, from small workshops that we know by name.</p>\
         <p><a class=\"button\" href=\"/category/kitchen\">Start in the kitchen</a></p></div>",
    );
    main.push_str(HERO);
    main.push_str("</section>\n<section class=\"departments\">");
    for department in DEPARTMENTS {
        let products = catalogue.of_department(department);
        let Some(sample) = products.first() else { continue };
        let _ = write!(
            main,
            "<a href=\"/category/{}\"><img src=\"/image/{}.svg\" alt=\"\" width=\"120\" height=\"120\">\
             <strong>{}</strong><span>{}</span></a>",
            department.slug,
            sample.sku,
            escape(department.name),
            escape(department.blurb)
        );
    }
    main.push_str("</section>\n");
    let on_sale = |product: &&Product| product.stock > 0 && Price::of(product, now).old_cents.is_some();
    let mut sales: Vec<&Product> = catalogue.products().iter().filter(on_sale).collect();
    sales.sort_by_key(|product| product.seed);
    sales.truncate(8);
    if !sales.is_empty() {
        let _ = write!(main, "<section><h2>For a little less this week</h2>{}</section>", grid(&sales, now));
    }
    frame("Good things for home and away", "", None, &main)
}

/// One page of a department with the products on it; none if there is no such page.
pub(super) fn category<'a>(
    catalogue: &'a Catalogue,
    slug: &str,
    number: usize,
    now: Period,
) -> Option<(String, Vec<&'a Product>)> {
    let department = DEPARTMENTS.iter().find(|department| department.slug == slug)?;
    let all = catalogue.of_department(department);
    let pages = all.len().div_ceil(PAGE_SIZE).max(1);
    let skipped = number.checked_sub(1).filter(|_| number <= pages)? * PAGE_SIZE;
    let products: Vec<&Product> = all.iter().copied().skip(skipped).take(PAGE_SIZE).collect();
    let link = |number: usize| match number {
        1 => format!("/category/{slug}"),
        _ => format!("/category/{slug}?page={number}"),
    };
    let mut main = format!(
        "<nav class=\"crumbs\" aria-label=\"Breadcrumb\"><a href=\"/\">Home</a> / <span>{name}</span></nav>\
         <section class=\"title\"><h1>{name}</h1><p>{blurb}</p><p class=\"count\">{first}–{last} of {all} products</p>\
         </section>\n{grid}",
        name = escape(department.name),
        blurb = escape(department.blurb),
        first = skipped + usize::from(!products.is_empty()),
        last = skipped + products.len(),
        all = all.len(),
        grid = grid(&products, now),
    );
    main.push_str("<nav class=\"pages\" aria-label=\"Pages\">");
    if number > 1 {
        let _ = write!(main, "<a rel=\"prev\" href=\"{}\">← Previous</a>", link(number - 1));
    }
    for page in 1..=pages {
        if page == number {
            let _ = write!(main, "<span aria-current=\"page\">{page}</span>");
        } else {
            let _ = write!(main, "<a href=\"{}\">{page}</a>", link(page));
        }
    }
    if number < pages {
        let _ = write!(main, "<a rel=\"next\" href=\"{}\">Next →</a>", link(number + 1));
    }
    main.push_str("</nav>");
    let title = if number == 1 { department.name.to_owned() } else { format!("{}, page {number}", department.name) };
    Some((frame(&title, "", Some(slug), &main), products))
}

pub(super) fn sitemap(catalogue: &Catalogue, base: &str, changed_at: impl Fn(&Product) -> OffsetDateTime) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    let _ = writeln!(xml, "<!-- {} --><url><loc>{base}/</loc></url>", escape(SHOP_NAME));
    for department in DEPARTMENTS {
        let _ = writeln!(xml, "<url><loc>{base}/category/{}</loc></url>", department.slug);
    }
    for product in catalogue.products() {
        let date = changed_at(product).replace_nanosecond(0).ok().and_then(|date| date.format(&Rfc3339).ok());
        let _ = writeln!(
            xml,
            "<url><loc>{base}/product/{}</loc><lastmod>{}</lastmod></url>",
            product.slug,
            date.unwrap_or_default()
        );
    }
    xml.push_str("</urlset>\n");
    xml
}

const HERO: &str = "<svg viewBox=\"0 0 520 300\" role=\"img\" aria-label=\"A tent under larches at dusk\">\
<defs><linearGradient id=\"sky\" x2=\"0\" y2=\"1\"><stop stop-color=\"#f6d9b8\"/><stop offset=\".6\" \
stop-color=\"#f3e7d3\"/><stop offset=\"1\" stop-color=\"#dfe6d6\"/></linearGradient></defs>\
<rect width=\"520\" height=\"300\" rx=\"18\" fill=\"url(#sky)\"/><circle cx=\"392\" cy=\"92\" r=\"38\" fill=\"#f2b84b\"/>\
<g clip-path=\"inset(0 round 18px)\"><path d=\"M0 214l96-74 84 58 92-86 120 94 128-52v146H0z\" fill=\"#b9c7b1\"/>\
<path d=\"M0 246q140-38 260-10t260-14v60V300H0z\" fill=\"#7f9a80\"/></g>\
<g fill=\"#2f4a3d\"><path d=\"M74 96l34 62H92l30 54H26l30-54H40z\"/><path d=\"M68 206h12v48H68z\"/>\
<path d=\"M150 142l24 42h-11l22 40h-70l22-40h-11z\"/><path d=\"M145 220h9v30h-9z\"/>\
<path d=\"M452 122l28 52h-13l25 46h-80l25-46h-13z\"/><path d=\"M447 216h10v38h-10z\"/></g>\
<path d=\"M288 164l84 98H204z\" fill=\"#c8643c\"/><path d=\"M288 164l84 98h-52z\" fill=\"#a34d2b\"/>\
<path d=\"M288 190l28 72h-56z\" fill=\"#ffe2a0\"/><path d=\"M288 190v72\" stroke=\"#a34d2b\" stroke-width=\"3\"/>\
<path d=\"M392 236h20v22h-20z\" fill=\"#ffe2a0\"/><path d=\"M389 232h26l-5-8h-16zM388 258h28v6h-28z\" fill=\"#2f4a3d\"/>\
</svg>";
