"""`lang` and `script`."""

import pytest

from turnout.signals.base import words_of
from turnout.signals.language.sense import language_of, script_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the capital of France?", "en"),
        ("Wie komme ich am schnellsten zum Bahnhof?", "de"),
        ("Quelle est la capitale de la France ?", "fr"),
        ("¿Cuál es la capital de Francia?", "es"),
        ("Qual è la capitale della Francia?", "it"),
        ("Você pode me dizer qual é a capital da França?", "pt"),
        ("Wat is de hoofdstad van Frankrijk en waarom?", "nl"),
        ("Vad heter huvudstaden i Frankrike och varför?", "sv"),
        ("Jaka jest stolica Francji i dlaczego?", "pl"),
        ("Fransa'nın başkenti nedir ve neden böyle?", "tr"),
        ("Apa ibu kota Prancis dan mengapa?", "id"),
        ("Thủ đô của nước Pháp là gì và tại sao?", "vi"),
        ("Mikä on Ranskan pääkaupunki ja miksi?", "fi"),
        ("Какая столица Франции и почему?", "ru"),
        ("Яка столиця Франції і чому?", "uk"),
        ("ما هي عاصمة فرنسا؟", "ar"),
        ("पेरिस किस देश की राजधानी है?", "hi"),
        ("フランスの首都はどこですか", "ja"),
        ("法国的首都是哪里？", "zh"),
        ("프랑스의 수도는 어디입니까?", "ko"),
        ("Ποια είναι η πρωτεύουσα;", "el"),
        ("เมืองหลวงของฝรั่งเศสคืออะไร", "th"),
        ("מהי בירת צרפת", "he"),
        ("", "und"),
        ("x = 3; y[0] += 17", "und"),
        ("12345 !!", "und"),
    ],
)
def test_the_language_is_told(text: str, code: str) -> None:
    assert language_of(text, words_of(text)).code == code


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("hello", "Latn"),
        ("Привет hi", "Cyrl"),
        ("東京タワー", "Kana"),
        ("東京", "Hani"),
        ("123", "und"),
        ("😀", "und"),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert script_of(text).code == script
