//! The page of one product.

use super::{
    catalogue::{Catalogue, Product},
    page::{escape, frame, price_tags, stars},
    price::{Period, Price},
};

pub(super) fn page(catalogue: &Catalogue, product: &Product, now: Period) -> String {
    let price = Price::of(product, now);
    let saving = price.percent_off().map(|percent| format!("<span class=\"badge\">−{percent}%</span>"));
    let (stock_class, stock) = match product.stock {
        0 => ("none", "Sold out".to_owned()),
        1..=3 => ("low", format!("Only {} left", product.stock)),
        some => ("some", format!("{some} in stock")),
    };
    let disabled = if product.stock == 0 { " aria-disabled=\"true\"" } else { "" };
    let main = format!(
        "<nav class=\"crumbs\" aria-label=\"Breadcrumb\"><a href=\"/\">Home</a> / \
         <a href=\"/category/{department_slug}\">{department}</a> / <span>{name}</span></nav>\n\
         <article class=\"product\" itemscope itemtype=\"https://schema.org/Product\">\n\
         <div class=\"frame\"><img itemprop=\"image\" src=\"/image/{sku}.svg\" alt=\"{name}\" width=\"480\" \
         height=\"480\">{saving}</div>\n<div class=\"facts\">\n<p class=\"department\" itemprop=\"category\">{department}</p>\n\
         <h1 itemprop=\"name\">{name}</h1>\n\
         <p class=\"meta\" itemprop=\"aggregateRating\" itemscope itemtype=\"https://schema.org/AggregateRating\">{stars}\
         <span><span itemprop=\"ratingValue\">{rating}</span> (<span itemprop=\"reviewCount\">{reviews}</span> reviews)\
         </span></p>\n<p class=\"line\">{price}</p>\n<p class=\"tax\">incl. VAT, plus delivery</p>\n\
         <p class=\"description\" itemprop=\"description\">{description}</p>\n\
         <p class=\"stock {stock_class}\" data-stock=\"{stock_count}\">{stock}</p>\n\
         <p><a class=\"button\" href=\"/cart?add={sku}\" rel=\"nofollow\"{disabled}>Add to basket</a></p>\n\
         <dl><dt>Article no.</dt><dd itemprop=\"sku\">{sku}</dd><dt>Delivery</dt><dd>2–4 working days</dd>\
         <dt>Returns</dt><dd>30 days, free of charge</dd></dl>\n</div>\n</article>\n\
         <section><h2>Goes well with</h2>{related}</section>",
        department_slug = product.department.slug,
        department = escape(product.department.name),
        name = escape(&product.name),
        sku = product.sku,
        saving = saving.unwrap_or_default(),
        stars = stars(product),
        rating = product.rating(),
        reviews = product.reviews,
        price = price_tags(price),
        description = escape(&product.description),
        stock_count = product.stock,
        related = related(catalogue, product),
    );
    let head = format!("<meta name=\"description\" content=\"{}\">\n", escape(&product.description));
    frame(&product.name, &head, Some(product.department.slug), &main)
}

/// Other products of the department, without prices: this page changes only when its own price does.
fn related(catalogue: &Catalogue, product: &Product) -> String {
    let all = catalogue.of_department(product.department);
    let at = all.iter().position(|other| other.sku == product.sku).unwrap_or(0);
    let others = all.iter().cycle().skip(at + 1).take(4.min(all.len().saturating_sub(1)));
    let links: Vec<String> = others
        .map(|other| {
            format!(
                "<a href=\"/product/{}\"><img src=\"/image/{}.svg\" alt=\"\" width=\"120\" height=\"120\">\
                 <strong>{}</strong></a>",
                other.slug,
                other.sku,
                escape(&other.name)
            )
        })
        .collect();
    format!("<div class=\"departments related\">{}</div>", links.concat())
}
