// The steps of a long panel: a head opens and closes its step, Next goes on to the one after, sums stand in the heads.
(() => {
  const isOpen = (step) => (step.dataset.open ? step.dataset.open === 'yes' : !step.classList.contains('shut'));
  const set = (step, open) => {
    step.dataset.open = open ? 'yes' : 'no';
    step.querySelector('.step-head').setAttribute('aria-expanded', String(open));
  };
  const goTo = (steps, key) => {
    const step = steps.querySelector(`.step-${CSS.escape(key)}`);
    if (!step) return null;
    for (const other of steps.querySelectorAll('.step')) if (other !== step && isOpen(other)) set(other, false);
    set(step, true);
    step.querySelector('.step-head').scrollIntoView({block: 'nearest'});
    return step;
  };
  document.addEventListener('click', (event) => {
    const head = event.target.closest?.('.step-head'), next = event.target.closest?.('.step-next');
    if (head) set(head.closest('.step'), !isOpen(head.closest('.step')));
    if (next) goTo(next.closest('.inputs'), next.dataset.next)?.querySelector('.step-head').focus({preventScroll: true});
  });
  window.wanSteps = {
    // From elsewhere, as by Send to: the step where what has come can be seen.
    show: (page, key) => goTo(document.querySelector(`.page-${CSS.escape(page)} .inputs`) ?? document.body, key),
  };
  const sum = () => {
    for (const sums of document.querySelectorAll('template.sums')) {
      for (const [key, text] of Object.entries(sums.dataset)) {
        const place = sums.closest('.inputs')?.querySelector(`.step-${key} .sum`);
        if (place && place.textContent !== text) place.textContent = place.title = text;
      }
    }
  };
  // Gradio changes what is there already, where it can: an attribute may be all that becomes another.
  const attributeFilter = ['data-what', 'data-material', 'data-words'];
  new MutationObserver(sum).observe(document.documentElement, {childList: true, subtree: true, attributeFilter});
})();
