try {
  const kept = localStorage.getItem("passlaw-theme");
  if (kept) document.documentElement.dataset.theme = kept;
} catch { /* A browser that keeps nothing follows the system. */ }
