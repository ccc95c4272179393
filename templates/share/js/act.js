// One thing at a time, and what went wrong with it. `paint` and `refresh` are the page's own.

let busy = false;

/** Runs an act from its button; says what went wrong. */
async function act(work) {
  if (busy) {
    return;
  }
  busy = true;
  paint();
  try {
    await work();
  } catch (problem) {
    await refused(problem);
  } finally {
    busy = false;
    paint();
  }
}

/** `null`: the visitor changed their mind. */
async function refused(problem) {
  if (problem === null) {
    return;
  }
  tell(WORDS[`error_${problem.code}`] || problem.title || say("error"));
  if (problem instanceof Error) {
    throw problem;
  }
  await refresh();
}

let barred = "";

/** Shows the buttons (and lines) that make sense now at the foot of the page; others of the same kind rest with them while something is done. */
function showButtons(buttons, others = "") {
  if (!("sandbox" in page)) {
    return;
  }
  const looks = buttons.map((one) => one.textContent).join("|");
  if (looks !== barred) {
    const focused = $("bar").contains(document.activeElement);
    $("bar").replaceChildren(...buttons);
    const next = focused && buttons.find((one) => one.matches("a, button"));
    if (next) {
      next.focus();
    }
    barred = looks;
  }
  for (const one of document.querySelectorAll(`#bar button${others}`)) {
    one.disabled = busy;
  }
}

/** What a button does. */
const does = (work) => () => act(work);
