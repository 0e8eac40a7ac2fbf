// What only the browser can do with a clip: measure it before any server opens it, stand it at a moment, draw on it.
(() => {
  const PATIENCE = 20000;
  // Figures of a clip for a ClipFigures component; null for one that this browser cannot play.
  const measure = (clip) => new Promise((resolve) => {
    if (!clip?.url) { resolve(null); return; }
    const video = document.createElement('video');
    const end = (figures) => { clearTimeout(late); video.removeAttribute('src'); video.load(); resolve(figures); };
    const late = setTimeout(end, PATIENCE, null);
    video.addEventListener('error', () => end(null), {once: true});
    video.addEventListener('loadedmetadata', () => end({
      clip: clip.path, width: video.videoWidth, height: video.videoHeight,
      seconds: Number.isFinite(video.duration) ? video.duration : null,
    }), {once: true});
    video.preload = 'metadata';
    video.src = clip.url;
  });

  const moments = new Map();  // by the element id of the slot's clip: what its preview shall show
  const stand = (id) => {
    const video = document.querySelector(`#${id} video`);
    if (!video || video.readyState < 1 || !Number.isFinite(video.duration)) return;
    const {when, second} = moments.get(id);
    const last = Math.max(video.duration - 0.01, 0);  // at the very end some browsers show nothing
    video.currentTime = when === 'first' ? 0 : when === 'last' ? last : Math.min(Math.max(second || 0, 0), last);
  };
  // The words under the preview, as HTML.
  const show = (id, clip, when, second) => {
    moments.set(id, {when, second});
    stand(id);
    if (!clip) return '';
    const frame = when === 'at' ? `Frame at ${second || 0} s` : when === 'last' ? 'Last frame' : 'First frame';
    const name = document.createElement('span');
    name.textContent = clip.orig_name || clip.path.split(/[\\/]/).pop();
    return `<p class="dim">${frame} of ${name.innerHTML}</p>`;
  };

  const BLANK = 640;
  // A JPEG as a data URL, at most `most` pixels wide and high, for drawing on: of the first shown picture or video that
  // `selector` finds, in its own shape, or as it will fill `size` ("832x480", `fit` is crop or pad). Without a selector
  // the frame is blank; where there is nothing to draw on the answer is empty.
  const frame = (selector, most, size, fit) => {
    const sides = (m) => m ? [m.videoWidth || m.naturalWidth || 0, m.videoHeight || m.naturalHeight || 0] : [0, 0];
    const media = selector && [...document.querySelectorAll(selector)].find((m) => m.offsetParent && sides(m)[0]);
    if (selector && !media) return '';
    const [width, height] = sides(media);
    const [w, h] = size ? size.split('x').map(Number) : [width, height];
    const scale = size ? BLANK / Math.max(w, h) : Math.min(1, most / Math.max(w, h));
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [Math.round(w * scale), Math.round(h * scale)];
    const pen = canvas.getContext('2d');
    pen.fillStyle = '#1e293b';
    pen.fillRect(0, 0, canvas.width, canvas.height);
    if (media) {
      const across = canvas.width / width, down = canvas.height / height;
      const by = fit === 'pad' ? Math.min(across, down) : Math.max(across, down);
      pen.drawImage(media, (canvas.width - width * by) / 2, (canvas.height - height * by) / 2, width * by, height * by);
    }
    try { return canvas.toDataURL('image/jpeg', 0.9); } catch (error) { return ''; }  // of another site
  };

  // Media events do not bubble, but they are caught on their way down.
  document.addEventListener('loadedmetadata', ({target}) => {
    target.closest('.unshown')?.classList.remove('unshown');
    for (const id of moments.keys()) if (target.closest(`#${id}`)) stand(id);
  }, true);
  document.addEventListener('error', (event) => {
    const slot = event.target.tagName === 'VIDEO' && event.target.closest('.inputs .block');
    if (!slot) return;
    // Gradio would call the input broken ("Video not playable"); the model reads more formats than browsers.
    event.stopPropagation();
    slot.classList.add('unshown');
  }, true);

  window.wanClips = {measure, show, frame};
})();
