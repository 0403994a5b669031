// Shows every <time> in local time with a relative word; the UTC stays in its title.
// A script that puts new content on the page says so by the event "content".
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60]];

function word(seconds) {
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return relative.format(Math.abs(seconds) < 10 ? 0 : Math.trunc(seconds), "second");
}

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const when = new Date(element.dateTime);
    if (Number.isNaN(when.valueOf())) continue;
    element.textContent = `${local.format(when)} (${word((when - Date.now()) / 1000)})`;
  }
}

showTimes();
setInterval(showTimes, 10_000);
document.addEventListener("content", showTimes);
