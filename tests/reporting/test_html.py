"""A report as a page: everything is said, nothing is more than text, and nothing is fetched."""

import html
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from autograder.errors import AutograderError
from autograder.learner.progress import Progress
from autograder.report import NOT_WRITTEN, Curve, Figure, Recognised, Report
from autograder.reporting.html import MARK, fragment, page, refusal, style
from autograder.reporting.html_curves import _Scale, charts, number
from autograder.reporting.html_tests import SHAPES, state
from autograder.reporting.markup import VOID, element, joined
from autograder.reporting.style import STYLES

NAMES = ("failing", "passing", "untouched", "run", "hard", "kit", "unprintable")
ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "div",
        "header",
        "main",
        "footer",
        "section",
        "aside",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "span",
        "strong",
        "code",
        "pre",
        "time",
        "a",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "figure",
        "figcaption",
        "svg",
        "desc",
        "g",
        "path",
        "rect",
        "circle",
        "text",
    ]
)


class Page(HTMLParser):
    """What a browser would make of it; complains where elements are not closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.comments: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def handle_comment(self, data):
        self.comments.append(data)

    @property
    def text(self) -> str:
        return "".join(text for where, text in self.texts if "style" not in where)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(report, assignment, progress=None) -> Page:
    return Page(page(report, assignment, progress or Progress(assignment.root / "no.json")))


@pytest.fixture(params=NAMES)
def each(request, demos, tmp_path):
    """Every demo report, as a page and as pieces."""
    report, assignment = demos[request.param]
    progress = Progress(tmp_path / "progress.json")
    pieces = [fragment(report, assignment, progress, task) for task in (None, *(t.name for t in assignment.tasks))]
    return [page(report, assignment, progress), *pieces]


def test_it_is_well_formed_and_made_of_known_elements(each):
    for source in each:
        found = Page(source)
        assert {name for name, _ in found.elements} <= ELEMENTS
        assert found.comments == []
    assert each[0].startswith("<!DOCTYPE html>")


def test_nothing_runs_and_nothing_is_fetched(each):
    for source in each:
        for name, attributes in Page(source).elements:
            assert not [key for key in attributes if key.startswith("on")], (name, attributes)
            assert attributes.get("href", "#").startswith(("#", "data:image/svg+xml,")), attributes
            assert not {"src", "srcset", "action", "style"} & set(attributes)
        assert "@import" not in source
        assert "url(" not in source


def test_what_a_student_wrote_stays_text(demos, demo, tmp_path):
    report, assignment = demos["unprintable"]
    progress = Progress(tmp_path / "progress.json", hints={f"{assignment.id}.{t.name}": 1 for t in assignment.tasks})
    for source in (page(report, assignment, progress), fragment(report, assignment, progress, "attention")):
        found = Page(source)
        assert "alert(1)" in found.text
        assert "named <script>" in found.text, "this test is to see every field"
        assert "<script" not in source.lower()
        assert "<img" not in source.lower()
        assert not [c for c in source if c in "\u202e\x1b\x00\ud800"]
        source.encode()  # a lone surrogate would stop the file from being written


def test_an_element_escapes_text_and_attributes():
    made = element("p", "<b>&\"'", element("b", "x"), title="\"'><i>", aria_label=None)
    assert made == '<p title="&quot;&#x27;&gt;&lt;i&gt;">&lt;b&gt;&amp;&quot;&#x27;<b>x</b></p>'
    assert joined(["<", None, element("br")]) == "&lt;<br>"


def everything(report_of, test_of):
    """A report with a value of its own in every field."""
    return report_of(
        test_of(
            "attention",
            "all",
            "failed",
            hidden=False,
            sentence="The sentence itself.",
            reason="The reason itself.",
            mistake=Recognised("the_id", "What is seen.", "What it is named."),
            figures=(Figure("The figure", 12.25, 13.75, " ms"),),
            curves=(Curve("The curve", "The unit", ((0.0, 3.5), (77.0, 4.25)), 5.125, ((0.0, 1.5, 6.5),), 9091),),
            seed=4711,
            cpu_seconds=21.43,
            output="What was printed.",
            submission="py:another",
            depends_on="ab12cd",
        ),
        test_of("Heads", "worth", hidden=True, worth=2.75),
        title="The title itself",
        student="Ada",
        cpu_seconds=31.6,
        hidden_elsewhere=0,
        notes=("The note itself.",),
    )


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            if path == ("versions",):
                yield (*path, "name"), key
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def test_every_field_is_shown(assignment, report_of, test_of, tmp_path):
    report = everything(report_of, test_of)
    progress = Progress(tmp_path / "progress.json", hints={f"{assignment.id}.attention": 1})
    text = shown(report, assignment, progress).text
    kept_back = {
        ("tests", "mistake", "id"),  # a mistake's name in the bank would say what it is
        ("tests", "hidden"),  # said as "hidden" or "practice"
        ("hidden_elsewhere",),
        ("complete",),
        ("started",),  # said as people write it
    }
    missing = []
    for path, value in leaves(json.loads(json.dumps(report.to_json()))):
        said = (
            [str(value)]
            if not isinstance(value, float)
            else [number(value), f"{value:.1f}", f"{value:.2f}", f"{value:g}"]
        )
        if value not in (None, "") and path not in kept_back and not any(one in text for one in said):
            missing.append((path, value))
    assert missing == []
    assert "2026-01-02 03:04:05 UTC" in text
    assert "Report for Ada" in text
    assert "practice" in text
    assert "hidden, 2.75 / 2.75 points" in text


def test_a_mistake_is_named_only_when_the_screen_would(halfway, assignment, tmp_path):
    progress = Progress(tmp_path / "progress.json")
    seen, named = "The spread of your scores", "are not divided by the root of d"
    assert seen in shown(halfway, assignment, progress).text
    assert named not in page(halfway, assignment, progress)
    progress.hints[f"{assignment.id}.attention"] = 1
    assert named in page(halfway, assignment, progress)
    progress.hints.clear()
    progress.failures[f"{assignment.id}.attention"] = {"no_scale": 2}
    assert named in page(halfway, assignment, progress)


def test_no_hint_and_no_bank_name_is_on_the_page(halfway, assignment, tmp_path):
    progress = Progress(tmp_path / "progress.json", hints={f"{assignment.id}.{t.name}": 3 for t in assignment.tasks})
    text = page(halfway, assignment, progress)
    assert not [hint for task in assignment.tasks for hint in task.hints if html.escape(hint) in text]
    assert "no_scale" not in text


def test_the_next_step_is_the_one_of_the_screen(demos, tmp_path):
    progress = Progress(tmp_path / "progress.json")
    for name, said in (
        ("failing", "autograder hint a02.attention the first of 3 hints"),
        ("passing", "autograder quiz a02 questions that explain"),
        (
            "untouched",
            "Write causal_mask (10 min) in assignments/a02_attention/attention.py, then autograder check a02",
        ),
    ):
        assert said in shown(*demos[name], progress).text, name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("failing", "1 of 5 tasks passes; mend attention next."),
        ("passing", "All 5 tasks pass."),
        ("untouched", "Nothing is written yet."),
        ("hard", "No task passes yet; mend causal_mask first."),
        ("kit", "Every practice test passes."),
    ],
)
def test_one_sentence_says_how_it_stands(demos, name, said):
    assert said in shown(*demos[name]).text


def test_in_a_kit_no_points_are_claimed(demos):
    text = shown(*demos["kit"]).text
    assert "points not known here" in text
    assert "31 hidden tests will also count" in text
    assert "worth 2" in text
    assert "?" not in text.split("Every test")[0]
    assert "0 / 2" not in text


def test_a_file_that_cannot_be_loaded_is_said_once(report_of, test_of, assignment, tmp_path):
    reason = "attention.py, line 3: this is no Python."
    report = report_of(*(test_of(task.name, "one", "failed", reason=reason) for task in assignment.tasks))
    source = fragment(report, assignment, Progress(tmp_path / "p.json"))
    assert "The file cannot be loaded, so nothing else could be tested." in source
    assert Page(source).text.count(reason) == 1
    assert "The file itself" in source


def test_an_interrupted_grading_says_so(demos):
    assert "This grading was interrupted" in shown(*demos["hard"]).text
    assert "This grading was interrupted" not in shown(*demos["failing"]).text


def test_another_version_of_the_file_is_named(demos):
    assert "graded an earlier version of the file: py:0a1b" in shown(*demos["hard"]).text


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_state_is_a_sign_and_a_word(name):
    found = Page(state(name))
    assert found.text == {"unwritten": "not written", "unknown": "not checked"}.get(name, name)
    assert found.all("svg")[0]["aria-hidden"] == "true"
    assert name in STYLES


def test_the_page_has_landmarks_headings_in_order_and_named_table_heads(each):
    found = Page(each[0])
    names = [name for name, _ in found.elements]
    assert [names.count(name) for name in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert all(attributes.get("scope") in ("row", "col") for attributes in found.all("th"))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in found.all("a")} <= set(ids)


def test_the_head_says_who_wrote_it_and_forbids_the_rest(all_passed, assignment):
    source = page(all_passed, assignment, Progress(assignment.root / "no.json"))
    assert MARK in source[:1024]
    policy = next(m["content"] for m in Page(source).all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


# -------------------------------------------------------------------------------------------------------------- curves

RISES = Curve(
    "mean return", "environment steps", ((0, 1.0), (10, 5.0), (20, 9.0)), 8.0, ((0, 0.5, 2.0), (20, 7.5, 10.0)), 3
)


def test_a_curve_is_a_picture_with_words_and_a_table():
    found = Page(charts((RISES, replace(RISES, seed=14, points=((0, 1.0), (10, 2.5))))))
    drawing = found.all("svg")[0]
    assert drawing["role"] == "img"
    assert "mean return against environment steps" in found.text
    assert "Attempt 1, seed 3: ended at 9. Attempt 2, seed 14: ended at 2.5. Needed: 8." in found.text
    assert "The course's own solution ended between 7.5 and 10." in found.text
    assert ("threshold-words", "needed 8") in [
        (attributes.get("class"), "needed 8")
        for attributes in found.all("text")
        if attributes.get("class") == "threshold-words"
    ]
    cells = [text for where, text in found.texts if where[-1] in ("td", "th")]
    assert cells[:5] == ["environment steps", "seed 3", "seed 14", "own, lowest", "own, highest"]
    assert cells[5:] == ["0", "1", "1", "0.5", "2", "10", "5", "2.5", "20", "9", "7.5", "10"]


def test_attempts_differ_in_more_than_colour():
    found = Page(charts((RISES, replace(RISES, seed=4), replace(RISES, seed=5))))
    marks = {name for name, attributes in found.elements if attributes.get("class") == "mark"}
    assert marks == {"circle", "rect", "path"}
    assert all(f".a{place} .line" in style() for place in (2, 3)), "a dash of their own"


def test_two_measures_are_two_pictures():
    assert charts((RISES, replace(RISES, name="loss"))).count("<figure") == 2
    assert charts(()) == ""


def test_a_line_breaks_where_nothing_could_be_measured():
    broken = replace(RISES, points=((0, 1.0), (5, 2.0), (10, math.nan), (15, 3.0), (20, math.inf)))
    found = Page(charts((broken,)))
    lines = [a["d"] for name, a in found.elements if name == "path" and a.get("class") == "line"]
    assert lines[0].count("L") == 1, "two points are joined"
    assert "no number" in found.text
    assert "∞" in found.text
    assert "nan" not in charts((broken,)).lower().replace("nothing", "")


@pytest.mark.parametrize("reference", [(), RISES.reference, ((20, 7.0, 9.0),), ((20, math.nan, math.nan),)])
@pytest.mark.parametrize("threshold", [None, 8.0, math.inf])
@pytest.mark.parametrize("points", [(), ((0, 0.0),), ((5, -2.0), (9, -2.0)), ((0, math.nan),), ((0, 1e30), (1, -1e30))])
def test_whatever_was_measured_is_drawn_inside_the_picture(points, threshold, reference):
    source = charts((replace(RISES, points=points, threshold=threshold, reference=reference),))
    found = Page(source)
    for name, attributes in found.elements:
        for key in ("x", "y", "cx", "cy"):
            if key in attributes:
                assert -10 <= float(attributes[key]) <= 570, (name, attributes)
        if name == "path":
            assert "nan" not in attributes["d"]
            assert "inf" not in attributes["d"]


def test_a_value_far_off_does_not_flatten_the_rest_and_is_said():
    found = Page(charts((replace(RISES, points=((0, 1.0), (10, 1e9), (20, 9.0))),)))
    assert "1 measured value." in found.text
    assert "1e+09" in found.text
    ticks = [text for where, text in found.texts if where[-1] == "text"]
    assert "10" in ticks, "the axis still fits what matters"


def test_many_points_are_marked_once():
    many = replace(RISES, points=tuple((n, n / 10) for n in range(200)))
    found = Page(charts((many,)))
    assert [name for name, a in found.elements if a.get("class") == "mark"] == ["circle", "circle"], "curve and legend"


@pytest.mark.parametrize("low", [0.0, -3.0, 0.97, 1e-3, -1e5, 12345.0])
@pytest.mark.parametrize("span", [1e-3, 0.1, 1.0, 7.0, 33.0, 250.0, 1e6])
def test_an_axis_has_a_few_round_numbers(low, span):
    ticks = _Scale(low, low + span, 0, 100).ticks()
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in ticks)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (450.0, "450"),
        (-2.5, "−2.5"),
        (60000.0, "60\u202f000"),
        (1e9, "1e+09"),
        (1.23456789, "1.2346"),
        (1e-6, "1e−06"),
        (math.nan, "no number"),
        (-math.inf, "−∞"),
        (None, "no number"),
        (318.25, "318.25"),
    ],
)
def test_numbers_are_short(value, said):
    assert number(value) == said


# -------------------------------------------------------------------------------------------------------------- pieces


def test_a_piece_keeps_its_look_to_itself(demos, tmp_path):
    source = fragment(*demos["failing"], Progress(tmp_path / "p.json"))
    rules = re.search("<style>(.*?)</style>", source, re.DOTALL)[1]
    rules = re.sub(r"@(supports|container|media)[^{]*", "", rules)
    selectors = [part for part in re.findall(r"([^{}]+)\{", rules) if part.strip()]
    assert len(selectors) > 50
    inner = re.compile(r"\([^()]*\)")
    flat = [inner.sub("", inner.sub("", rule)) for rule in selectors]
    loose = [one for rule in flat for one in rule.split(",") if ".autograder" not in one]
    assert loose == []


def test_a_piece_about_a_task_shows_that_task(demos, tmp_path):
    progress = Progress(tmp_path / "p.json")
    text = Page(fragment(*demos["failing"], progress, "causal_mask")).text
    assert "causal_mask passes, 2 points" in text
    assert "Fix first" not in text
    text = Page(fragment(*demos["run"], progress, "train_pole")).text
    assert "Fix first: train_pole" in text
    assert "mean return of 4 greedy episodes" in text


def test_a_refusal_is_a_piece_with_its_mend():
    source = refusal(AutograderError("no <such> thing", where="a/b.py", mend="make it"))
    assert Page(source).text.split("}")[-1] == "failed no <such> thingWherea/b.pyMendmake it"


def test_many_tests_are_folded_behind_their_number_and_a_mistake_is_told_once(assignment, report_of, test_of, tmp_path):
    mistake = Recognised("id", "What shows of it.", "What it is.")
    report = report_of(
        *(test_of("attention", f"wrong_{n}", "failed", reason=f"Reason {n}.", mistake=mistake) for n in range(9)),
        *(test_of("attention", f"right_{n}") for n in range(7)),
        test_of("attention", "run", curves=(RISES,)),
        test_of("attention", "waits", "blocked", reason="Builds on another."),
    )
    source = page(report, assignment, Progress(tmp_path / "p.json"))
    text = Page(source).text
    assert text.count("What shows of it.") == 1
    assert text.count("It looks like the same as above.") == 8
    assert "5 more tests not passed" in text
    assert "7 tests passed" in text
    assert [f"Reason {n}." in text for n in range(9)] == [True] * 9, "folded, not left out"
    folds, depth = [], 0
    for piece in re.findall(r"<details|</details>|Builds on another|<figure", source):
        depth += {"<details": 1, "</details>": -1}.get(piece, 0)
        folds += [depth] if not piece.startswith(("<details", "</details")) else []
    assert folds == [0, 0], "a curve and a short group stand open"


def test_the_first_thing_to_fix_shows_the_mistake_of_its_task(assignment, report_of, test_of, tmp_path):
    report = report_of(
        test_of("attention", "one", "failed", reason="Off."),
        test_of("attention", "two", "failed", reason="Off.", mistake=Recognised("id", "What shows of it.", "It is.")),
    )
    text = Page(fragment(report, assignment, Progress(tmp_path / "p.json"), "attention")).text
    assert text.index("What shows of it.") < text.index("The other tests")
    assert text.count("What shows of it.") == 1


def test_an_unwritten_task_shows_what_its_tests_will_ask(untouched, assignment):
    found = shown(untouched, assignment)
    assert "What its 1 test will ask" in found.text
    assert NOT_WRITTEN not in [text for where, text in found.texts if where[-1:] == ("p",)]


def test_a_report_from_disk_looks_the_same(demos, tmp_path):
    report, assignment = demos["failing"]
    again = Report.from_json(json.loads(json.dumps(report.to_json())))
    progress = Progress(tmp_path / "p.json")
    assert page(again, assignment, progress) == page(report, assignment, progress)


# ---------------------------------------------------------------------------------------------------------- in a browser

CONTRASTS = """(() => {
  for (const folded of document.querySelectorAll('details')) folded.open = true;
  const parts = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => { const [r, g, b] = parts(c).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor, p = parts(c);
                        if (p.length < 4 || p[3] > 0) return c; } return 'rgb(255, 255, 255)'; };
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), owner = walk.currentNode.parentElement;
    if (!text || ['STYLE', 'title', 'desc'].includes(owner.tagName) || !owner.getClientRects().length) continue;
    const look = getComputedStyle(owner), drawn = owner instanceof SVGElement;
    const [a, b] = [light(drawn ? look.fill : look.color), light(behind(owner))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), text.slice(0, 40)]);
  }
  return found;
})()"""


def opened(browser, path, width, scheme):
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 500)
    return browser.open(path.as_uri())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_in_a_browser_it_fits_a_phone_fetches_nothing_and_can_be_read(demos, browser, tmp_path, name, scheme):
    report, assignment = demos[name]
    progress = Progress(tmp_path / "progress.json")
    whole, pieces = tmp_path / "page.html", tmp_path / "pieces.html"
    whole.write_text(page(report, assignment, progress), encoding="utf-8")
    made = fragment(report, assignment, progress)
    pieces.write_text(f'<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">{made}')
    for path in (whole, pieces):
        for width in (375, 1280):
            events = opened(browser, path, width, scheme)
            contrasts = browser.evaluate(CONTRASTS)
            assert len(contrasts) > 10
            assert [(round(ratio, 2), text) for ratio, text in contrasts if ratio < 4.5] == []
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
            assert {urlsplit(address).scheme for address in asked} <= {"file", "data"}
            assert [address for address in asked if address.startswith("file")] == [path.as_uri()]
            assert [e for e in events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")] == []


@pytest.mark.slow
def test_light_and_dark_differ_and_a_notebook_decides_for_its_pieces(demos, browser, tmp_path):
    report, assignment = demos["failing"]
    made = fragment(report, assignment, Progress(tmp_path / "p.json"))
    path, papers = tmp_path / "notebook.html", {}
    for theme in ("true", "false"):
        path.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body data-jp-theme-light="{theme}">{made}')
        for scheme in ("light", "dark"):
            opened(browser, path, 1280, scheme)
            look = "getComputedStyle(document.querySelector('.autograder')).backgroundColor"
            papers[theme, scheme] = browser.evaluate(look)
    assert papers["true", "light"] == papers["true", "dark"] == "rgb(252, 252, 250)"
    assert papers["false", "light"] == papers["false", "dark"] == "rgb(18, 23, 29)"
