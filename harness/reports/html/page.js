"use strict";
(() => {
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  const steps = [...document.querySelectorAll(".step")];
  const texts = new Map();
  const names = ["q", "outcome", "target", "scenario"];
  form.hidden = false;

  // The page's text is read once: with hundreds of verdicts a search must follow the keys.
  const textOf = (element) => {
    if (!texts.has(element)) texts.set(element, element.textContent.toLowerCase());
    return texts.get(element);
  };

  const apply = () => {
    const [q, outcome, target, scenario] = names.map((name) => form.elements[name].value);
    const wanted = q.trim().toLowerCase();
    let count = 0;
    let total = 0;
    for (const step of steps) {
      const here = (!target || step.dataset.target === target) && (!scenario || step.dataset.scenario === scenario);
      const head = wanted && textOf(step.querySelector("h3")).includes(wanted);
      let some = false;
      for (const verdict of step.querySelectorAll(".verdict")) {
        total += 1;
        const fits = here && (!outcome || verdict.dataset.outcome === outcome) && (!wanted || head || textOf(verdict).includes(wanted));
        verdict.hidden = !fits;
        some = some || fits;
        count += fits;
      }
      step.hidden = !some;
    }
    shown.textContent = count === total ? `${total} verdicts` : `${count} of ${total} verdicts`;
  };

  const toHash = () => {
    const asked = new URLSearchParams();
    for (const name of names) if (form.elements[name].value) asked.set(name, form.elements[name].value);
    history.replaceState(null, "", asked.size ? `#${asked}` : location.pathname + location.search);
  };

  const fromHash = () => {
    const hash = location.hash.slice(1);
    const linked = hash && document.getElementById(hash);
    if (linked) {
      const verdict = linked.closest(".verdict");
      if (verdict) {
        if (verdict.hidden || verdict.closest(".step").hidden) for (const name of names) form.elements[name].value = "";
        verdict.open = true;
      }
      apply();
      linked.scrollIntoView();
      if (verdict) verdict.querySelector("summary").focus({ preventScroll: true });
      return;
    }
    const asked = new URLSearchParams(hash);
    for (const name of names) form.elements[name].value = asked.get(name) ?? "";
    apply();
    if (names.some((name) => asked.has(name))) document.getElementById("detonations").scrollIntoView();
  };

  form.addEventListener("input", () => { apply(); toHash(); });
  form.addEventListener("reset", () => setTimeout(() => { apply(); toHash(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", fromHash);
  fromHash();
})();
