// Sheets that rise from the foot of the page: the visitor's name, the sandbox checkout, the link to hand on.

/** Shows a sheet; `build` gets its form and a function that ends it with a value. Closed otherwise it ends with nothing. */
function sheet(title, build) {
  return new Promise((done) => {
    const form = make("form", { method: "dialog" });
    const dialog = make("dialog", { "aria-labelledby": "title" }, make("h2", { id: "title" }, title), form);
    const finish = (value) => {
      dialog.remove();
      done(value);
    };
    dialog.addEventListener("close", () => finish());
    dialog.addEventListener("click", (event) => event.target === dialog && finish());
    form.addEventListener("submit", (event) => event.preventDefault());
    build(form, finish);
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** The visitor's name; throws `null` when they change their mind. */
async function askName() {
  const name = await sheet(say("name"), (form, done) => {
    const input = make("input", { id: "name", maxlength: "64", autocomplete: "nickname", required: "", "aria-describedby": "hint", "aria-labelledby": "title" });
    form.append(input, make("p", { id: "hint" }, say("name_hint")), make("button", { class: "go" }, say("name_go")), button(say("close"), "quiet", () => done()));
    form.addEventListener("submit", () => input.value.trim() && done(input.value.trim()));
  });
  if (!name) {
    throw null;
  }
  return name;
}

/** The sandbox checkout; true if the visitor pays. */
const checkout = (fen) =>
  sheet(say("pay_head"), (form, done) => {
    form.append(
      make("p", { class: "sum" }, yuan(fen)),
      make("p", { id: "hold" }),
      make("p", {}, say("advance_note")),
      make("button", { class: "go" }, say("pay", yuan(fen))),
      button(say("later"), "quiet", () => done(false)),
    );
    form.addEventListener("submit", () => done(true));
    setTimeout(tick);
  });

/** The link to hand on, with its picture for the phone beside this one, and the invite code it carries if it does. */
const handOn = ({ url, path, code }) =>
  sheet(say("invite_head"), (form, done) => {
    const field = make("input", { id: "link", readonly: "", value: url, "aria-labelledby": "title" });
    const copy = button(say("copy"), "go", async () => {
      field.select();
      const copied = navigator.clipboard ? navigator.clipboard.writeText(url).then(() => true) : document.execCommand("copy");
      if (await Promise.resolve(copied).catch(() => false)) {
        copy.textContent = say("copied");
      }
    });
    form.append(...(code ? [make("p", { class: "sum" }, code)] : []), make("img", { src: `${path}/qr.svg`, alt: say("qr"), width: "200", height: "200" }), field, copy);
    if (navigator.share) {
      form.append(button(say("share"), "quiet", () => navigator.share({ title: document.title, url }).catch(() => {})));
    }
    form.append(button(say("close"), "quiet", () => done()));
  });
