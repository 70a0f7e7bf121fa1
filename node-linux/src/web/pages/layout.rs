//! What surrounds every page: head, header with the state of the cluster, main part.

use maud::{DOCTYPE, Markup, html};

use crate::web::leadership::Leadership;

/// The part of the site that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Items,
    Files,
    Other,
}

/// What the header says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    section: Section,
    me: u16,
    term: u64,
    leader: Option<u16>,
    leads: bool,
}

impl Frame {
    pub(super) fn new(leadership: &Leadership, section: Section) -> Self {
        Self {
            section,
            me: leadership.me,
            term: leadership.term,
            leader: leadership.leader,
            leads: leadership.promoted.is_some(),
        }
    }
}

/// A whole document.
pub(super) fn page(frame: &Frame, title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Symphony" }
                link rel="icon" type="image/svg+xml" href="/app/icon.svg";
                link rel="stylesheet" href=(*super::STYLE_ADDRESS);
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.site {
                    div.bar {
                        a.brand href="/app/" { img src="/app/icon.svg" alt="" width="22" height="22"; "Symphony" }
                        nav aria-label="Main" {
                            (link(frame, Section::Items, "/app/", "Items"))
                            (link(frame, Section::Files, "/app/files", "Files"))
                        }
                        (cluster(frame))
                    }
                }
                main #main { (main) }
            }
        }
    }
}

fn link(frame: &Frame, section: Section, target: &str, text: &str) -> Markup {
    let current = (frame.section == section).then_some("page");
    html! { a href=(target) aria-current=[current] { (text) } }
}

/// This node, who leads, and the term.
fn cluster(frame: &Frame) -> Markup {
    let (class, text) = match frame.leader {
        _ if frame.leads => ("leads", "leads".to_owned()),
        Some(leader) if leader == frame.me => ("pending", "is taking the lead".to_owned()),
        Some(leader) => ("follows", format!("follows node {leader}")),
        None => ("pending", "knows no leader".to_owned()),
    };
    html! {
        p.cluster title="The node that served this page" {
            span.dot.(class) aria-hidden="true" {}
            span { b { "Node " (frame.me) } " " (text) }
            span.term { "term " (frame.term) }
        }
    }
}
