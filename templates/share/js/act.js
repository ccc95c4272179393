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

/** What a button does. */
const does = (work) => () => act(work);
