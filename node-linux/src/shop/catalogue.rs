//! What the shop sells: products made by combining words, the same ones every time.

use std::collections::HashMap;

use super::{
    price::mix,
    words::{ADJECTIVES, CARES, DEPARTMENTS, Department, MAKERS, Shape},
};

/// Changing it changes the whole shop.
const SEED: u64 = 0x5EED_0F5D;

/// One product, without its price, which changes ([`super::price::Price::of`]).
pub(super) struct Product {
    pub(super) sku: String,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) department: &'static Department,
    pub(super) shape: Shape,
    pub(super) description: String,
    pub(super) base_cents: u64,
    /// Tenths of a star.
    pub(super) rating_tenths: u64,
    pub(super) reviews: u64,
    pub(super) stock: u64,
    /// All else that varies from product to product is drawn from this.
    pub(super) seed: u64,
}

impl Product {
    /// `4.6`
    pub(super) fn rating(&self) -> String {
        format!("{}.{}", self.rating_tenths / 10, self.rating_tenths % 10)
    }
}

/// All products, department by department.
pub(super) struct Catalogue {
    products: Vec<Product>,
    by_slug: HashMap<String, usize>,
    by_sku: HashMap<String, usize>,
}

impl Catalogue {
    pub(super) fn new(size: usize) -> Self {
        let departments = DEPARTMENTS.len().max(1);
        let products: Vec<Product> = DEPARTMENTS
            .iter()
            .enumerate()
            .flat_map(|(at, department)| {
                let share = size / departments + usize::from(at < size % departments);
                (0..share).filter_map(move |index| product(department, index))
            })
            .collect();
        let by_slug = products.iter().enumerate().map(|(index, product)| (product.slug.clone(), index)).collect();
        let by_sku = products.iter().enumerate().map(|(index, product)| (product.sku.clone(), index)).collect();
        Self { products, by_slug, by_sku }
    }

    pub(super) fn products(&self) -> &[Product] {
        &self.products
    }

    pub(super) fn by_slug(&self, slug: &str) -> Option<&Product> {
        self.by_slug.get(slug).and_then(|&index| self.products.get(index))
    }

    pub(super) fn by_sku(&self, sku: &str) -> Option<&Product> {
        self.by_sku.get(sku).and_then(|&index| self.products.get(index))
    }

    pub(super) fn of_department(&self, department: &Department) -> Vec<&Product> {
        self.products.iter().filter(|product| product.department.code == department.code).collect()
    }
}

fn product(department: &'static Department, index: usize) -> Option<Product> {
    let seed = mix(mix(SEED, hash(department.code)), u64::try_from(index).ok()?);
    let round = index / department.nouns.len().max(1);
    let column = index % department.nouns.len().max(1);
    let (noun, euros, shape) = *department.nouns.get(column)?;
    // The lengths of the two lists share no factor: a pair comes back only after all pairs have been used.
    let material = pick(department.materials, round + column * 3)?;
    let adjective = pick(ADJECTIVES, round + column * 5)?;
    let series = round / (department.materials.len() * ADJECTIVES.len()).max(1);
    let mut name = format!("{adjective} {material} {noun}");
    if series > 0 {
        name = format!("{name} No. {}", series + 1);
    }
    let base_cents = (euros * (70 + mix(seed, 10) % 75) / 50 * 50).max(300) - 10 * (seed % 2);
    let description =
        [pick_by(department.uses, mix(seed, 11))?, pick_by(MAKERS, mix(seed, 12))?, pick_by(CARES, mix(seed, 13))?]
            .join(" ");
    Some(Product {
        sku: format!("{}-{:04}", department.code, index + 1),
        slug: slug(&name),
        name,
        department,
        shape,
        description,
        base_cents,
        rating_tenths: 35 + mix(seed, 14) % 16,
        reviews: 3 + mix(seed, 15) % 400,
        stock: stock(mix(seed, 16)),
        seed,
    })
}

fn pick<'a>(words: &[&'a str], index: usize) -> Option<&'a str> {
    words.get(index % words.len().max(1)).copied()
}

fn pick_by<'a>(words: &[&'a str], random: u64) -> Option<&'a str> {
    pick(words, usize::try_from(random % 1024).ok()?)
}

/// One product in ten is sold out, two are nearly so.
fn stock(random: u64) -> u64 {
    match random % 10 {
        0 => 0,
        1 | 2 => 1 + random / 10 % 3,
        _ => 4 + random / 10 % 60,
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0, |hash, byte| mix(hash, u64::from(byte)))
}

/// `Sauté Pan No. 2` becomes `saute-pan-no-2`.
fn slug(name: &str) -> String {
    let plain = name.replace('é', "e").to_lowercase();
    let words: Vec<&str> = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_product_has_a_name_of_its_own() {
        for size in [0, 1, 7, 240, 9000] {
            let catalogue = Catalogue::new(size);
            assert_eq!(catalogue.products().len(), size);
            let slugs: HashSet<_> = catalogue.products().iter().map(|product| &product.slug).collect();
            assert_eq!(slugs.len(), size, "slugs");
            let skus: HashSet<_> = catalogue.products().iter().map(|product| &product.sku).collect();
            assert_eq!(skus.len(), size, "SKUs");
        }
    }

    #[test]
    fn the_shop_is_the_same_every_time() {
        let names = |catalogue: &Catalogue| {
            catalogue.products().iter().map(|product| (product.name.clone(), product.base_cents)).collect::<Vec<_>>()
        };
        assert_eq!(names(&Catalogue::new(240)), names(&Catalogue::new(240)));
    }
}
