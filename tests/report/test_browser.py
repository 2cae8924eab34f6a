"""The pages in Chromium: what the script does, and that nothing breaks at any width."""

import pytest

pytest.importorskip("selenium")
from selenium.webdriver.common.keys import Keys

from vggbatch.report import write_comparison, write_report
from vggbatch.storage.filesystem import Folder


@pytest.fixture(scope="module")
def pages(run, other_run, unlabeled_run):
    folders = [Folder(str(path)) for path in (run, unlabeled_run)]
    found = [write_report(folder, gallery=8) for folder in folders]
    return [*found, write_comparison(folders[0], Folder(str(other_run)), gallery=8)]


def column(browser, table, number):
    script = "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
    script += ".filter(r => !r.hidden).map(r => r.cells[arguments[1]].textContent)"
    return browser.execute_script(script, table, number)


def heading(browser, table, number):
    return browser.find_elements("css selector", f"#{table} thead button")[number]


def test_a_click_on_a_heading_sorts_and_another_turns_the_order(browser, pages):
    browser.get(f"file://{pages[0]}")
    heading(browser, "class-table", 4).click()
    falling = [float(text) for text in column(browser, "class-table", 4)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 100
    heading(browser, "class-table", 4).click()
    rising = [float(text) for text in column(browser, "class-table", 4)]
    assert rising == sorted(rising)
    assert rising[0] < 100
    sort = browser.find_elements("css selector", "#class-table th[aria-sort]")
    assert [cell.get_attribute("aria-sort") for cell in sort] == ["ascending"]
    heading(browser, "class-table", 0).click()
    names = [text.lower() for text in column(browser, "class-table", 0)]
    assert names[0] == min(names)


def test_the_search_finds_every_name_of_a_class(browser, pages):
    browser.get(f"file://{pages[0]}")
    status = browser.find_element("css selector", "#classes [role=status]")
    before = status.text
    search = browser.find_element("css selector", "#classes input")
    search.send_keys("tinca")
    assert len(column(browser, "class-table", 0)) == 1
    assert status.text == "1 of 1 rows"
    search.send_keys("xyz")
    assert column(browser, "class-table", 0) == []
    search.clear()
    search.send_keys(" ")
    assert status.text == before


def test_long_tables_are_cut_until_asked_for(browser, pages):
    browser.get(f"file://{pages[0]}")
    assert len(column(browser, "confusion-table", 0)) == 15
    browser.find_element("css selector", "#confusions .more").send_keys("\n")
    assert len(column(browser, "confusion-table", 0)) > 15


def test_the_name_of_a_class_opens_its_images(browser, pages):
    browser.get(f"file://{pages[0]}")
    link = browser.find_element("css selector", "#class-table tbody tr:not([hidden]) a")
    target = link.get_attribute("href").rpartition("#")[2]
    group = browser.find_element("id", target)
    assert not group.is_displayed()
    browser.execute_script("arguments[0].click()", link)
    assert group.is_displayed()
    assert group.find_elements("css selector", ".pic")


def test_an_image_enlarges_and_arrows_lead_to_the_next(browser, pages):
    browser.get(f"file://{pages[0]}")
    cards = browser.find_elements("css selector", "#mistakes .card")
    browser.execute_script("arguments[0].querySelector('.pic').click()", cards[0])
    large = browser.find_element("id", "large")
    caption = large.find_element("css selector", ".caption")
    assert large.is_displayed()
    for card in (cards[0], cards[1]):
        name = card.find_element("css selector", ".id").get_attribute("textContent")
        assert name in caption.text
        pictures = (
            card.find_element("css selector", ".pic"),
            large.find_element("css selector", ".pic"),
        )
        small, big = (one.value_of_css_property("background-image") for one in pictures)
        assert small == big != "none"
        large.send_keys(Keys.ARROW_RIGHT)
    large.send_keys(Keys.ESCAPE)
    assert not large.is_displayed()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_pages_fit_the_screen_and_log_nothing(browser, pages, width, theme, tmp_path):
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for page in pages:
        browser.get(f"file://{page}")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        paper = browser.execute_script(
            "return getComputedStyle(document.documentElement).background"
        )
        assert ("rgb(255, 255, 255)" in paper) == (theme == "light")
        assert browser.get_log("browser") == []
        assert browser.execute_script(
            "return [...document.querySelectorAll('button.pic')]"
            ".every(p => getComputedStyle(p).backgroundImage.startsWith('url'))"
        )
