// The room, seat by seat.

/** The first letter of a masked name. */
const face = (name) => [...name].find((letter) => letter !== "*") || "•";

function seat(member) {
  if (!member) {
    return make("li", { class: "free" }, make("b", { "aria-hidden": "true" }, "+"), make("span", {}, say("seat_free")));
  }
  const roles = [member.you && say("seat_you"), member.leader && say("host")].filter(Boolean);
  const kind = `${member.paid ? "paid" : "held"}${member.you ? " you" : ""}`;
  return make(
    "li",
    { class: kind },
    make("b", { "aria-hidden": "true" }, face(member.name)),
    make("span", {}, make("bdi", {}, member.name), roles.length ? ` ${roles.join(" · ")}` : ""),
    make("i", {}, say(member.paid ? "paid" : "to_pay")),
  );
}

let shown = Number(page.taken); // seats taken, as painted

function paintSeats() {
  const members = room.members;
  // A room that has formed has no free seats, however large it could have become.
  const size = room.state === "formed" ? members.length : room.size;
  const seats = Array.from({ length: size }, (_, place) => seat(members[place]));
  for (const fresh of seats.slice(shown, members.length)) {
    fresh.classList.add("new");
  }
  const said = say("seats_now", room.seats_taken, room.size, room.seats_paid);
  if ($("news").textContent !== said) {
    $("seats").replaceChildren(...seats);
    $("news").textContent = said;
  }
  shown = members.length;
}
