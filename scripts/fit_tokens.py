"""Fit the weights of `turnout.signals.tokens.estimate` to exact counts (`pip install turnout[tokens]`).

Run: `python scripts/fit_tokens.py ../shared/data`. Prints the weights, their error on held-out prompts, and
the factor of each family of models against the reference. Texts: training rows of public prompt sets, tool
schemas, and for scripts that these lack the sentences below, written for this purpose. Prompts of the `dev`
split are held out.
"""

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import bpe_openai
import numpy as np
import pyarrow.parquet as pq

from turnout.signals.language.profiles import LATIN
from turnout.signals.tokens.estimate import CLASSES, counts_of

SCRIPTS = (
    (
        "Напишите, пожалуйста, короткое письмо нашим клиентам и объясните, почему доставка "
        "опаздывает. Что делать, если погода изменится, а дома нечего есть? Дети играли в саду, "
        "пока их мать читала книгу об истории города."
    ),
    (
        "Γράψτε μια σύντομη επιστολή στους πελάτες μας και εξηγήστε γιατί καθυστερεί η παράδοση. "
        "Τα παιδιά έπαιζαν στον κήπο ενώ η μητέρα τους διάβαζε ένα βιβλίο για την ιστορία της "
        "πόλης."
    ),
    (
        "اكتب رسالة قصيرة إلى عملائنا واشرح لماذا تأخر التسليم. ماذا نفعل إذا تغير الطقس ولا يوجد "
        "شيء للأكل في البيت؟ كان الأطفال يلعبون في الحديقة بينما كانت أمهم تقرأ كتابا عن تاريخ "
        "المدينة."
    ),
    (
        "כתוב מכתב קצר ללקוחות שלנו והסבר מדוע המשלוח מתעכב. הילדים שיחקו בגינה בזמן שאמם קראה "
        "ספר על תולדות העיר."
    ),
    (
        "कृपया हमारे ग्राहकों को एक छोटा पत्र लिखें और "
        "बताएं कि डिलीवरी में देरी क्यों हुई। बच्चे "
        "बगीचे में खेल रहे थे जबकि उनकी माँ शहर के "
        "इतिहास के बारे में एक किताब पढ़ रही थी।"
    ),
    ("โปรดเขียนจดหมายสั้นถึงลูกค้าของเราและอธิบายว่ าทำไมการจัดส่งจึงล่าช้า เด็ก ๆ เล่นอยู่ในสวนขณะที่แม่อ่านหนังสือ"),
    (
        "고객들에게 짧은 편지를 쓰고 배송이 늦어지는 이유를 설명해 주세요. 아이들이 "
        "정원에서 노는 동안 어머니는 도시의 역사에 관한 책을 읽고 있었다."
    ),
    (
        "お客様に短い手紙を書いて、配達が遅れている理由を説明してください。母親が町の歴史の本を読ん"
        "でいる間、子供たちは庭で遊んでいました。"
    ),
    "🎉 Done! ✅ All tests pass 🚀🚀 — see you tomorrow 👋😀",
)
PROMPTS = (
    ("mmlu_pro/mmlu_pro.parquet", "prompt", 700),
    ("zeroeval/math.parquet", "prompt", 300),
    ("llmrouter/llmrouter_default.parquet", "prompt", 700),
    ("routerdc7/routerdc7.parquet", "prompt", 1300),
    ("guard/prompts.parquet", "text", 900),
    ("bfcl/bfcl_v1_functions.parquet", "functions", 400),
)
FAMILIES = {
    "claude": "claude-3-haiku-20240307",
    "gemini": "gemini-1.5-pro-preview-0514",
    "mistral": "mistral-large-2407",
    "command": "command-r-plus",
    "llama": "meetkai_functionary-medium-v3.1-FC",
    "gpt": "gpt-4o-2024-08-06",
}
"""Family -> model of the function-calling table whose counts stand for it."""


def main() -> None:
    """Fit and print."""
    data = Path(sys.argv[1])
    count = exact()
    train = [*read(data, "train"), *SCRIPTS * 5, *(each.text for each in LATIN.values())]
    weights = fit(train, count)
    for name, weight in zip(CLASSES, weights, strict=True):
        print(f"    {name}={weight:.4f},")
    held_out = read(data, "dev")
    for name, texts in (("dev", held_out), ("scripts", list(SCRIPTS))):
        errors = np.array([abs(float(np.dot(weights, counts_of(text))) / count(text) - 1) for text in texts])
        print(f"{name}: n={len(texts)} mean error {errors.mean():.3f}, p95 {np.quantile(errors, 0.95):.3f}")
    families(data, count)


def exact() -> Callable[[str], int]:
    """Return the reference counter."""
    encoding = bpe_openai.get_encoding("o200k_base")
    return lambda text: len(encoding.encode_ordinary(text))


def read(data: Path, split: str) -> list[str]:
    """Return a fixed sample of distinct texts of a split."""
    rng = random.Random(0)  # noqa: S311  a fixed sample
    found: list[str] = []
    for name, column, n in PROMPTS:
        rows = pq.read_table(data / name, columns=[column, "split"]).to_pylist()
        texts = sorted({row[column] for row in rows if row["split"] == split and row[column]})
        found += rng.sample(texts, min(n, len(texts)))
    return found


def fit(texts: Sequence[str], count: Callable[[str], int]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return non-negative weights of least squared relative error, by projected gradient."""
    rows = np.array([counts_of(text) for text in texts], dtype=float)
    targets = np.array([count(text) for text in texts], dtype=float)
    scale = 1 / np.maximum(targets, 20)
    a, b = rows * scale[:, None], targets * scale
    norms = np.maximum(np.sqrt((a**2).sum(axis=0)), 1e-12)
    gram, aim = (a / norms).T @ (a / norms), (a / norms).T @ b
    step = 1 / np.linalg.eigvalsh(gram)[-1]
    weights = np.zeros(len(CLASSES))
    for _ in range(20_000):
        weights = np.maximum(0, weights - step * (gram @ weights - aim))
    return weights / norms


def families(data: Path, count: Callable[[str], int]) -> None:
    """Print each family's tokens per reference token of the user's prompt; the rest is a constant."""
    path = data / "bfcl" / "bfcl_v1_functions.parquet"
    tools = {row["item_id"]: row["functions"] for row in pq.read_table(path).to_pylist()}
    columns = ["item_id", "prompt", "model", "input_tokens", "split"]
    rows = pq.read_table(data / "bfcl" / "bfcl_v1.parquet", columns=columns).to_pylist()
    for family, model in FAMILIES.items():
        seen = [
            (count(row["prompt"]), count(tools[row["item_id"]]), 1, row["input_tokens"])
            for row in rows
            if row["model"] == model
            and row["split"] == "train"
            and row["input_tokens"]
            and row["item_id"] in tools
        ]
        if not seen:
            print(f"{family}: no counts for {model}")
            continue
        table = np.array(seen, dtype=float)
        prompt, schemas, constant = np.linalg.lstsq(table[:, :3], table[:, 3], rcond=None)[0]
        print(f"{family}: prompt {prompt:.3f}, schemas {schemas:.3f}, constant {constant:.0f}")


if __name__ == "__main__":
    main()
