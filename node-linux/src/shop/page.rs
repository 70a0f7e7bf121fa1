//! What all pages share: frame, navigation, product cards, escaping.

use std::fmt::Write as _;

use super::{
    catalogue::{Catalogue, Product},
    price::{Period, Price, format_cents},
    words::DEPARTMENTS,
};

pub(super) const SHOP_NAME: &str = "Larch & Lantern";

/// A whole page around `main`. `head` is markup; `title` is text.
pub(super) fn frame(title: &str, head: &str, current: Option<&str>, main: &str) -> String {
    let mut navigation = String::new();
    for department in DEPARTMENTS {
        let mark = if current == Some(department.slug) { " aria-current=\"page\"" } else { "" };
        let name = escape(department.name);
        let _ = write!(navigation, "<a href=\"/category/{}\"{mark}>{name}</a>", department.slug);
    }
    let shop = escape(SHOP_NAME);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · {shop}</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n\
         <link rel=\"icon\" href=\"data:image/svg+xml,{ICON}\">\n{head}</head>\n<body>\n\
         <p class=\"notice\">Free delivery from €60 · Thirty days to change your mind</p>\n\
         <header class=\"masthead\"><a class=\"brand\" href=\"/\">{MARK}<span>{shop}</span></a>\n\
         <nav aria-label=\"Departments\">{navigation}</nav>\n\
         <a class=\"basket\" href=\"/cart\" rel=\"nofollow\">Basket <span>0</span></a></header>\n\
         <main>\n{main}\n</main>\n\
         <footer><div><strong>{shop}</strong><p>Good things for home and away.</p></div>\
         <div><p>A demonstration shop: nothing here can be bought, and prices change by themselves.</p></div>\
         </footer>\n</body>\n</html>\n",
        title = escape(title),
    )
}

/// A grid of products as cards.
pub(super) fn grid(products: &[&Product], now: Period) -> String {
    let mut html = String::from("<ul class=\"grid\">\n");
    for product in products {
        let price = Price::of(product, now);
        let badge = match (price.percent_off(), product.stock) {
            (_, 0) => "<span class=\"badge sold\">Sold out</span>".to_owned(),
            (Some(percent), _) => format!("<span class=\"badge\">−{percent}%</span>"),
            (None, _) => String::new(),
        };
        let _ = writeln!(
            html,
            "<li class=\"card\"><a href=\"/product/{slug}\"><span class=\"frame\"><img src=\"/image/{sku}.svg\" \
             alt=\"\" width=\"200\" height=\"200\" loading=\"lazy\">{badge}</span><span class=\"name\">{name}</span></a>\
             <p class=\"line\">{price}</p><p class=\"meta\">{stars}<span>{rating} ({reviews})</span></p></li>",
            slug = product.slug,
            sku = product.sku,
            name = escape(&product.name),
            price = price_tags(price),
            stars = stars(product),
            rating = product.rating(),
            reviews = product.reviews,
        );
    }
    html.push_str("</ul>\n");
    html
}

pub(super) fn price_tags(price: Price) -> String {
    let now = format_cents(price.cents);
    match price.old_cents {
        Some(old) => {
            format!("<span class=\"price sale\">{now}</span> <s class=\"old-price\">{}</s>", format_cents(old))
        }
        None => format!("<span class=\"price\">{now}</span>"),
    }
}

pub(super) fn stars(product: &Product) -> String {
    format!("<span class=\"stars\" style=\"--part:{}%\" aria-hidden=\"true\"></span>", product.rating_tenths * 2)
}

pub(super) fn cart(catalogue: &Catalogue) -> String {
    let main = format!(
        "<section class=\"plain\"><h1>Your basket is empty</h1><p>And it will stay that way: this is a demonstration \
         shop. You are welcome to look around all the same.</p><p><a class=\"button\" href=\"/\">Look around</a></p>\
         </section>{}",
        suggestions(catalogue)
    );
    frame("Basket", "<meta name=\"robots\" content=\"noindex\">\n", None, &main)
}

pub(super) fn not_found(catalogue: &Catalogue) -> String {
    let main = format!(
        "<section class=\"plain\"><h1>Not on our shelves</h1><p>This page does not exist, or no longer.</p>\
         <p><a class=\"button\" href=\"/\">Back to the shop</a></p></section>{}",
        suggestions(catalogue)
    );
    frame("Not found", "", None, &main)
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Prices are left out of pages that are not listed anywhere: they would only go stale.
fn suggestions(catalogue: &Catalogue) -> String {
    let mut html = String::from("<ul class=\"chips\">");
    for department in DEPARTMENTS.iter().filter(|department| !catalogue.of_department(department).is_empty()) {
        let _ = write!(html, "<li><a href=\"/category/{}\">{}</a></li>", department.slug, escape(department.name));
    }
    html.push_str("</ul>");
    html
}

const MARK: &str = "<svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><path d=\"M16 2l7 10h-4l6 9H7l6-9H9z\" \
                    fill=\"currentColor\"/><path d=\"M16 21v9\" stroke=\"currentColor\" stroke-width=\"3\"/>\
                    <circle cx=\"16\" cy=\"17\" r=\"2.4\" fill=\"#f2b84b\"/></svg>";

const ICON: &str = "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath d='M16 2l7 10h-4l6 9H7l6-9H9z\
                    M14 21h4v9h-4z' fill='%232f4a3d'/%3E%3C/svg%3E";
