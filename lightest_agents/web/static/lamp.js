// The supplier's page: the drawn lamp does what the real one tells, and the alarms are fetched when they change.
const lamp = document.getElementById("lamp");
const word = lamp.querySelector(".word");

function say(state) {
  const text = word.dataset[state];
  if (word.textContent !== text) word.textContent = text; // a status is read aloud only when it changes
}

function show({ lit, blinking, working }) {
  if (!working) return loseSight();
  lamp.classList.remove("unknown");
  lamp.classList.toggle("lit", lit);
  lamp.classList.toggle("blinking", blinking);
  say(blinking ? "blinking" : "dark");
}

function loseSight() {
  lamp.classList.remove("lit", "blinking");
  lamp.classList.add("unknown");
  say("unknown");
}

async function fetchAlarms() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement?.id;
  document.getElementById("alarms").replaceWith(page.getElementById("alarms"));
  document.title = page.title;
  if (focused) document.getElementById(focused)?.focus();
  document.dispatchEvent(new Event("content"));
}

function follow() {
  const events = new EventSource(lamp.dataset.events);
  events.addEventListener("lamp", (event) => show(JSON.parse(event.data)));
  events.addEventListener("alarms", () => fetchAlarms().catch(loseSight));
  events.addEventListener("error", () => {
    loseSight();
    // The browser connects again by itself, but gives up when it was refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 5_000);
  });
}

follow();
