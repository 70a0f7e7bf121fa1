"""Reads the pages of a folder that can be reached from index.html, by means of Python's own parser.

Prints one JSON object: for each page its title, its first heading of class "title", and where "next" and "previous"
lead. It shares nothing with the scraper it is held against.
"""

import json
import os
import sys
import urllib.parse
from html.parser import HTMLParser


class Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.links, self.title, self.heading, self.next, self.previous = [], None, None, None, None
        self.into, self.depth = None, 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if self.into:
            self.depth += tag == self.into[1]
        elif tag == "title" and self.title is None:
            self.into, self.depth, self.title = ("title", tag), 1, ""
        elif tag in ("h1", "h2", "h3") and "title" in attributes.get("class", "").split() and self.heading is None:
            self.into, self.depth, self.heading = ("heading", tag), 1, ""
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
            key = attributes.get("accesskey")
            if key == "n" and self.next is None:
                self.next = attributes["href"]
            if key == "p" and self.previous is None:
                self.previous = attributes["href"]

    def handle_endtag(self, tag):
        if self.into and tag == self.into[1]:
            self.depth -= 1
            if self.depth == 0:
                self.into = None

    def handle_data(self, data):
        if self.into:
            setattr(self, self.into[0], getattr(self, self.into[0]) + data)


folder, waiting, pages = sys.argv[1], ["index.html"], {}
while waiting:
    name = waiting.pop()
    if name in pages or not os.path.isfile(os.path.join(folder, name)):
        continue
    page = Page()
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        page.feed(file.read())
    page.close()

    def resolve(link):
        return link and urllib.parse.urldefrag(urllib.parse.urljoin(name, link)).url

    def fold(text):
        return " ".join(text.split()) if text is not None else None

    pages[name] = {
        "title": fold(page.title),
        "heading": fold(page.heading),
        "next": resolve(page.next),
        "previous": resolve(page.previous),
    }
    links = (resolve(link) for link in page.links if "://" not in link and not link.startswith("mailto:"))
    waiting.extend(link for link in links if link and link.endswith(".html"))
print(json.dumps(pages))
